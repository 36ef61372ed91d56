// broker/api/connect_json.h - the JSON of CONNECT and INFO.
//
// Room:    pure. The structs are proto's; this is their text.
// Rules:   unknown fields of CONNECT are skipped; booleans that are absent keep what `base` has, so
//          that a repeated CONNECT changes only what it names.
#pragma once

#include <string>
#include <string_view>

#include "broker/base/result.h"
#include "broker/proto/connect.h"

namespace weir::api {

/// Decodes the argument of CONNECT over `base` (a default one for the first CONNECT).
/// Errors: kInvalid for a text that is no JSON object or has a field of the wrong type.
Result<proto::ConnectOptions> decode_connect(std::string_view json, const proto::ConnectOptions& base = {});

/// The argument of INFO, without verb and line end.
std::string encode_info(const proto::ServerInfo& info);

}  // namespace weir::api
