// broker/platform/dialling.h - one outgoing connection attempt. Internal to platform/.
#pragma once

#include "broker/env/transport.h"
#include "broker/platform/asio_loop.h"

namespace weir::platform {

/// Resolves and connects as Transport::dial. `done` runs once, on the loop, never inside this call.
/// Errors: kIo with a text in Go's shape ("dial tcp 127.0.0.1:1: connect: connection refused").
void start_dialling(AsioLoop& loop, const env::Endpoint& to, Nanos timeout_ns, env::Dialled done);

}  // namespace weir::platform
