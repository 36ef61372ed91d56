// broker/proto/client_writer.h - appends server-side protocol lines to an output buffer.
//
// Room:    pure, header only: on the hot path of every delivery.
// Errors:  none. Arguments must hold no CR, LF or blanks where the protocol has none (they come from
//          parsed lines or from validated subjects); this is not checked again here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "broker/base/bytes.h"

namespace weir::proto {

constexpr std::size_t kDecimalMax = 20;  // digits of the largest 64-bit number

/// A number as text, without allocation.
class Decimal {
 public:
  explicit Decimal(std::uint64_t v) {
    static constexpr char kPairs[] =
        "000102030405060708091011121314151617181920212223242526272829303132333435363738394041424344454647"
        "484950515253545556575859606162636465666768697071727374757677787980818283848586878889909192939495"
        "96979899";
    while (v >= 100) {
      begin_ -= 2;
      std::memcpy(digits_ + begin_, kPairs + 2 * (v % 100), 2);
      v /= 100;
    }
    if (v >= 10) {
      begin_ -= 2;
      std::memcpy(digits_ + begin_, kPairs + 2 * v, 2);
    } else {
      digits_[--begin_] = static_cast<char>('0' + v);
    }
  }
  std::string_view text() const { return {digits_ + begin_, kDecimalMax - begin_}; }

 private:
  char digits_[kDecimalMax];
  std::size_t begin_ = kDecimalMax;
};

inline char* put_text(char* p, std::string_view s) {
  if (!s.empty()) std::memcpy(p, s.data(), s.size());
  return p + s.size();
}

/// What stands in a MSG or HMSG line.
struct MessageLine {
  std::string_view subject;
  std::string_view sid;
  std::string_view reply = {};   // "" = none
  std::size_t header_bytes = 0;  // > 0 writes HMSG
  std::size_t total_bytes = 0;   // headers and payload
};

/// "MSG subject sid [reply] total\r\n" or "HMSG subject sid [reply] header total\r\n". The caller
/// appends the body and "\r\n".
inline void append_message_line(BytesBuilder& out, const MessageLine& m) {
  Decimal total(m.total_bytes), header(m.header_bytes);
  const bool with_reply = !m.reply.empty(), with_headers = m.header_bytes > 0;
  std::size_t size = 4 + m.subject.size() + 1 + m.sid.size() + 1 + total.text().size() + 2;
  if (with_reply) size += m.reply.size() + 1;
  if (with_headers) size += 1 + header.text().size() + 1;
  char* p = reinterpret_cast<char*>(out.grow(size));
  p = put_text(p, with_headers ? "HMSG " : "MSG ");
  p = put_text(p, m.subject);
  *p++ = ' ';
  p = put_text(p, m.sid);
  *p++ = ' ';
  if (with_reply) {
    p = put_text(p, m.reply);
    *p++ = ' ';
  }
  if (with_headers) {
    p = put_text(p, header.text());
    *p++ = ' ';
  }
  p = put_text(p, total.text());
  put_text(p, "\r\n");
}

/// A whole message: line, body (headers and payload), CRLF.
inline void append_message(BytesBuilder& out, const MessageLine& m, std::string_view body) {
  append_message_line(out, m);
  out.append(body);
  out.append("\r\n");
}

/// "INFO {json}\r\n".
inline void append_info(BytesBuilder& out, std::string_view json) {
  out.append("INFO ");
  out.append(json);
  out.append("\r\n");
}
inline void append_ok(BytesBuilder& out) {
  out.append("+OK\r\n");
}
inline void append_ping(BytesBuilder& out) {
  out.append("PING\r\n");
}
inline void append_pong(BytesBuilder& out) {
  out.append("PONG\r\n");
}
/// "-ERR 'text'\r\n". CR and LF in `text` (it may quote a subject) become blanks.
inline void append_err(BytesBuilder& out, std::string_view text) {
  out.append("-ERR '");
  char* p = reinterpret_cast<char*>(out.grow(text.size()));
  for (char c : text) *p++ = c == '\r' || c == '\n' ? ' ' : c;
  out.append("'\r\n");
}

}  // namespace weir::proto
