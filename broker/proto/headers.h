// broker/proto/headers.h - reads and builds NATS header blocks.
//
// Format:  NATS/1.0[ code[ text]] CRLF (key: value CRLF)* CRLF. Keys keep their case and may repeat;
//          look-ups compare exactly. Blanks around a value are not part of it.
// Room:    pure. HeaderView borrows the block; views it returns point into it.
// Errors:  a malformed block is never an error of the process: well_formed() says false, iteration
//          ends at the first bad line, the status is empty.
// Limits:  none of its own; blocks are bounded by max_payload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::proto {

struct HeaderField {
  std::string_view key, value;
};

class HeaderView {
 public:
  HeaderView() = default;
  explicit HeaderView(std::string_view block) : block_(block) {}

  std::string_view block() const { return block_; }
  /// Starts with NATS/1.0, every line is "key: value", ends with an empty line and nothing after it.
  bool well_formed() const;

  /// Number after NATS/1.0; 0 when there is none.
  int status() const;
  /// Text after that number, "" when there is none.
  std::string_view status_text() const;

  /// Value of the first field with exactly this key. nullopt when absent, "" when present and empty.
  std::optional<std::string_view> find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key).has_value(); }

  /// Fields in order: start with offset 0, call until false.
  bool next(std::size_t& offset, HeaderField& field) const;
  template <class F>
  void for_each(F&& f) const {
    std::size_t offset = 0;
    HeaderField field;
    while (next(offset, field)) f(field);
  }

 private:
  std::string_view status_line() const;  // after "NATS/1.0", without CRLF
  std::string_view block_;
};

/// Builds one block. Bytes that would break the format (CR, LF; ':' and blanks in keys) are replaced,
/// so the result is always well-formed, whatever a configuration or client put in.
class HeaderBuilder {
 public:
  HeaderBuilder() : text_("NATS/1.0\r\n") {}
  /// "NATS/1.0 503\r\n" or "NATS/1.0 404 No Messages\r\n".
  explicit HeaderBuilder(int status, std::string_view text = {});

  HeaderBuilder& add(std::string_view key, std::string_view value);
  HeaderBuilder& add(std::string_view key, std::uint64_t value);
  /// Copies all fields of `other` whose key is not `without`.
  HeaderBuilder& add_all(const HeaderView& other, std::string_view without = {});

  bool has_fields() const { return fields_ > 0; }
  /// The finished block, with its empty line. The builder is empty afterwards.
  std::string take();

 private:
  std::string text_;
  std::size_t fields_ = 0;
};

}  // namespace weir::proto
