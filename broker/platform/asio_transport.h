// broker/platform/asio_transport.h - env::Transport over TCP sockets.
//
// Room:   edge; asio stays in .cc files.
// Thread: the loop's. The loop outlives the transport, its listeners and connections.
// Listen: the wildcard addresses ("0.0.0.0", "::", "") take IPv4 and IPv6 where the machine has both,
//         as Go's listener does; local() names the host that was asked for.
// Dial:   names are resolved on a thread of asio's; addresses are tried in the resolver's order until
//         the deadline of the whole dial.
#pragma once

#include <memory>

#include "broker/env/transport.h"
#include "broker/platform/asio_loop.h"

namespace weir::platform {

std::unique_ptr<env::Transport> make_transport(AsioLoop& loop);

/// Reads the certificate files of all contexts that `transport`, which make_transport() made, gave out and
/// that are in use. Connections go on as they are; handshakes from now on are with what the files hold now.
/// With an error (kInvalid, as from Transport::tls()) nothing changes.
Status renew_certificates(env::Transport& transport);

}  // namespace weir::platform
