#include "broker/proto/headers.h"

#include <charconv>

namespace weir::proto {
namespace {

constexpr std::string_view kMagic = "NATS/1.0";

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

}  // namespace

std::string_view HeaderView::status_line() const {
  if (!block_.starts_with(kMagic)) return {};
  std::size_t end = block_.find("\r\n");
  if (end == std::string_view::npos) return {};
  return block_.substr(kMagic.size(), end - kMagic.size());
}

int HeaderView::status() const {
  std::string_view line = trim(status_line());
  int code = 0;
  auto [p, error] = std::from_chars(line.data(), line.data() + line.size(), code);
  bool ends_well = p == line.data() + line.size() || *p == ' ' || *p == '\t';
  return error == std::errc() && code > 0 && ends_well ? code : 0;
}

std::string_view HeaderView::status_text() const {
  if (status() == 0) return {};
  std::string_view line = trim(status_line());
  while (!line.empty() && line.front() != ' ' && line.front() != '\t') line.remove_prefix(1);
  return trim(line);
}

bool HeaderView::next(std::size_t& offset, HeaderField& field) const {
  if (offset == 0) {
    if (!block_.starts_with(kMagic)) return false;
    std::size_t end = block_.find("\r\n");
    if (end == std::string_view::npos) return false;
    offset = end + 2;
  }
  if (offset >= block_.size()) return false;
  std::string_view rest = block_.substr(offset);
  std::size_t end = rest.find("\r\n");
  if (end == std::string_view::npos || end == 0) return false;
  std::string_view line = rest.substr(0, end);
  std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  field = {line.substr(0, colon), trim(line.substr(colon + 1))};
  offset += end + 2;
  return true;
}

bool HeaderView::well_formed() const {
  if (!block_.starts_with(kMagic)) return false;
  std::size_t offset = 0;
  HeaderField field;
  while (next(offset, field)) {
  }
  if (offset == 0) {  // no field: next() did not report where the first line ends
    std::size_t end = block_.find("\r\n");
    if (end == std::string_view::npos) return false;
    offset = end + 2;
  }
  return block_.substr(offset) == "\r\n";
}

std::optional<std::string_view> HeaderView::find(std::string_view key) const {
  std::size_t offset = 0;
  HeaderField field;
  while (next(offset, field)) {
    if (field.key == key) return field.value;
  }
  return std::nullopt;
}

HeaderBuilder::HeaderBuilder(int status, std::string_view text) : text_(kMagic) {
  text_ += ' ';
  text_ += std::to_string(status);
  if (!text.empty()) text_ += ' ';
  for (char c : text) text_ += c == '\r' || c == '\n' ? ' ' : c;
  text_ += "\r\n";
}

HeaderBuilder& HeaderBuilder::add(std::string_view key, std::string_view value) {
  if (text_.empty()) text_ = "NATS/1.0\r\n";  // after take()
  if (key.empty()) text_ += '_';
  for (char c : key) text_ += c == '\r' || c == '\n' || c == ':' || c == ' ' || c == '\t' ? '_' : c;
  text_ += ": ";
  for (char c : value) text_ += c == '\r' || c == '\n' ? ' ' : c;
  text_ += "\r\n";
  ++fields_;
  return *this;
}

HeaderBuilder& HeaderBuilder::add(std::string_view key, std::uint64_t value) {
  return add(key, std::string_view(std::to_string(value)));
}

HeaderBuilder& HeaderBuilder::add_all(const HeaderView& other, std::string_view without) {
  other.for_each([&](const HeaderField& field) {
    if (without.empty() || field.key != without) add(field.key, field.value);
  });
  return *this;
}

std::string HeaderBuilder::take() {
  if (text_.empty()) text_ = "NATS/1.0\r\n";
  text_ += "\r\n";
  fields_ = 0;
  std::string out = std::move(text_);
  text_.clear();
  return out;
}

}  // namespace weir::proto
