#include "broker/api/pub_ack.h"

#include <charconv>

#include "broker/api/json_writer.h"
#include "broker/api/responses.h"

namespace weir::api {
namespace {

void put(std::string& out, std::string_view s) {
  out.append(s);
}
void put(BytesBuilder& out, std::string_view s) {
  out.append(s);
}

/// Names of streams are plain by rule, so the loop finds nothing to escape and copies once.
template <class Out>
void put_quoted(Out& out, std::string_view s) {
  bool plain = true;
  for (const char c : s) plain &= c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
  if (plain) {
    put(out, "\"");
    put(out, s);
    put(out, "\"");
    return;
  }
  std::string escaped;
  append_json_string(escaped, s);
  put(out, escaped);
}

template <class Out>
void put_number(Out& out, std::uint64_t v) {
  char buf[20];
  auto [end, ec] = std::to_chars(buf, buf + sizeof buf, v);
  put(out, std::string_view(buf, static_cast<std::size_t>(end - buf)));
}

template <class Out>
void write(Out& out, const PubAck& ack) {
  put(out, "{\"stream\":");
  put_quoted(out, ack.stream);
  if (!ack.domain.empty()) {
    put(out, ",\"domain\":");
    put_quoted(out, ack.domain);
  }
  put(out, ",\"seq\":");
  put_number(out, ack.seq.v);
  if (ack.duplicate) put(out, ",\"duplicate\":true");
  if (!ack.value.empty()) {
    put(out, ",\"val\":");
    put_quoted(out, ack.value);
  }
  if (!ack.batch.empty()) {
    put(out, ",\"batch\":");
    put_quoted(out, ack.batch);
  }
  if (ack.count != 0) {
    put(out, ",\"count\":");
    put_number(out, ack.count);
  }
  put(out, "}");
}

}  // namespace

void append_pub_ack(std::string& out, const PubAck& ack) {
  write(out, ack);
}
void append_pub_ack(BytesBuilder& out, const PubAck& ack) {
  write(out, ack);
}

std::string encode_pub_ack_error(const ApiError& error, std::string_view stream, StreamSeq last_seq) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.key("error");
  write_error(w, error);
  w.field("stream", stream);
  w.field("seq", last_seq);
  w.end_object();
  return out;
}

}  // namespace weir::api
