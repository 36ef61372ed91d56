// broker/api/error.h - the JetStream API error codes and the error object of replies.
//
// Room:    pure. The list is error_table.inc; this file only names it.
// Thread:  any; all data is constant.
// Source:  the err_code numbers and texts are what clients compare (jetstream/errors of every client).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace weir::api {

/// The value is the `err_code` of the wire. kNone is no error and never sent.
enum class ErrCode : std::uint16_t {
  kNone = 0,
#define X(http, err_code, name, constant, text) name = err_code,
#include "broker/api/error_table.inc"
#undef X
};

/// One row of the table, without replacement.
struct ErrorRow {
  int http_code = 0;
  ErrCode code = ErrCode::kNone;
  std::string_view constant;  // nats-server's name, for logs and documents
  std::string_view text;      // with {placeholders}
};

/// The `error` object of a reply. http_code is the `code` of the wire.
struct ApiError {
  int http_code = 0;
  ErrCode err_code = ErrCode::kNone;
  std::string description;
  bool operator==(const ApiError&) const = default;
};

/// The row of `code`; nullptr for a number that is not in the table.
const ErrorRow* find_error(ErrCode code);

/// The row for a number that came over the wire; nullopt if it is not in the table.
std::optional<ErrCode> err_code_from_number(std::uint64_t number);

/// An error with its placeholders filled in, in the order in which they stand in the text.
/// A placeholder without an argument stays as written; extra arguments are ignored. kNone or an
/// unknown code gives kStreamGeneral with the first argument as text.
ApiError make_error(ErrCode code, std::initializer_list<std::string_view> args = {});
inline ApiError make_error(ErrCode code, std::string_view arg) {
  return make_error(code, {arg});
}

}  // namespace weir::api
