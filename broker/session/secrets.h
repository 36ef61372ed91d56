// broker/session/secrets.h - CONNECT texts without their secrets, for the log.
//
// Room:    pure.
#pragma once

#include <string>
#include <string_view>

namespace weir::session {

/// The JSON of a CONNECT with the values of pass, auth_token, jwt and sig replaced by [REDACTED].
std::string hide_secrets(std::string_view connect_json);

}  // namespace weir::session
