#include "broker/api/error.h"

#include <algorithm>
#include <iterator>

namespace weir::api {
namespace {

// Sorted by err_code, as the table file is; error_test.cc proves it.
constexpr ErrorRow kRows[] = {
#define X(http, err_code, name, constant, text) {http, ErrCode::name, #constant, text},
#include "broker/api/error_table.inc"
#undef X
};

/// Replaces {word} by `args` in order.
std::string fill_in(std::string_view text, std::initializer_list<std::string_view> args) {
  std::string out;
  const auto* arg = args.begin();
  while (!text.empty()) {
    auto open = text.find('{');
    auto close = open == std::string_view::npos ? open : text.find('}', open);
    if (close == std::string_view::npos || arg == args.end()) break;
    out += text.substr(0, open);
    out += *arg++;
    text.remove_prefix(close + 1);
  }
  out += text;
  return out;
}

}  // namespace

const ErrorRow* find_error(ErrCode code) {
  const auto* row = std::lower_bound(std::begin(kRows), std::end(kRows), code,
                                     [](const ErrorRow& r, ErrCode c) { return r.code < c; });
  return row != std::end(kRows) && row->code == code ? row : nullptr;
}

std::optional<ErrCode> err_code_from_number(std::uint64_t number) {
  if (number > 0xffff) return std::nullopt;
  const auto code = static_cast<ErrCode>(number);
  if (!find_error(code)) return std::nullopt;
  return code;
}

ApiError make_error(ErrCode code, std::initializer_list<std::string_view> args) {
  const auto* row = find_error(code);
  if (!row) row = find_error(ErrCode::kStreamGeneral);
  return {row->http_code, row->code, fill_in(row->text, args)};
}

}  // namespace weir::api
