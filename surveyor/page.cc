// surveyor/page.cc - the page at "/": enough to see at a glance whether the survey works.
#include "surveyor/survey_loop.h"

namespace weir::surveyor {

namespace {
constexpr std::size_t kRowsMax = 200;

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string row(std::initializer_list<std::string> cells) {
  std::string out = "<tr>";
  for (const std::string& c : cells) out += "<td>" + escaped(c) + "</td>";
  return out + "</tr>\n";
}
}  // namespace

std::string render_page(const Snapshot& s, const SelfView& self) {
  std::string out =
      "<!doctype html><meta charset=\"utf-8\"><title>weir-surveyor</title>"
      "<style>body{font-family:sans-serif;margin:2em}td,th{padding:.2em 1em;text-align:left}</style>"
      "<h1>weir-surveyor</h1>\n";
  out += "<p>" + std::string(self.connected ? "Connected" : "Not connected") + "; round " +
         std::to_string(s.round) + ", " + std::to_string(s.surveyed) + " of " + std::to_string(s.expected) +
         " servers. <a href=\"/metrics\">metrics</a></p>\n";
  out += "<table><tr><th>Server</th><th>Cluster</th><th>Version</th><th>Up</th></tr>\n";
  for (const ServerView& v : s.servers) {
    out += row({v.identity.name, v.identity.cluster, v.identity.version, v.up ? "yes" : "no"});
  }
  out +=
      "</table>\n<table><tr><th>Account</th><th>Stream</th><th>Messages</th><th>Leader</th>"
      "<th>Replicas</th><th>Consumers</th></tr>\n";
  std::size_t shown = 0;
  for (const StreamView& v : s.streams) {
    if (++shown > kRowsMax) break;
    out += row({v.account_name, v.stream, v.detail ? std::to_string(v.state.messages) : "?",
                v.has_leader ? "yes" : "no",
                std::to_string(v.replicas_online) + " of " + std::to_string(v.replicas),
                std::to_string(v.consumers.size())});
  }
  out += "</table>\n";
  if (s.streams.size() > kRowsMax) {
    out += "<p>" + std::to_string(s.streams.size() - kRowsMax) + " more streams in /metrics.</p>\n";
  }
  return out;
}

}  // namespace weir::surveyor
