// What -V shows of a session: one line per protocol line, on the host's log.
#include <algorithm>

#include "broker/session/client_session.h"
#include "broker/session/secrets.h"

namespace weir::session {

void ClientSession::trace(std::string_view arrow, std::initializer_list<std::string_view> words) {
  std::string line(arrow);
  line += " [";
  bool first = true;
  for (std::string_view word : words) {
    if (word.empty()) continue;
    if (!first) line += ' ';
    line += word;
    first = false;
  }
  line += ']';
  host_.trace(*this, line);
}

void ClientSession::trace_payload(std::string_view arrow, std::string_view body) {
  std::size_t shown =
      limits_.max_traced_msg_len ? std::min(limits_.max_traced_msg_len, body.size()) : body.size();
  std::string line(arrow);
  line += " MSG_PAYLOAD: [\"";
  // Control characters would break the one-line form of the log.
  for (char c : body.substr(0, shown)) line += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  line += shown < body.size() ? "...\"]" : "\"]";
  host_.trace(*this, line);
}

std::string hide_secrets(std::string_view json) {
  std::string out(json);
  for (std::string_view key : {"\"pass\"", "\"auth_token\"", "\"jwt\"", "\"sig\""}) {
    std::size_t at = 0;
    while ((at = out.find(key, at)) != std::string::npos) {
      at = out.find_first_not_of(" \t:", at + key.size());
      if (at == std::string::npos || out[at] != '"') continue;
      std::size_t end = at + 1;
      while (end < out.size() && out[end] != '"') end += out[end] == '\\' ? 2u : 1u;
      end = std::min(end, out.size());
      out.replace(at + 1, end - at - 1, "[REDACTED]");
      at += 1;
    }
  }
  return out;
}

}  // namespace weir::session
