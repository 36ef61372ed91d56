#include "tests/bench/wire.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace weir::bench {

namespace {
[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "weir-bench: %s\n", what.c_str());
  std::exit(1);
}
}  // namespace

Wire::Wire(const std::string& host, int port, const std::string& name) : buffer_(1 << 20) {
  fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, host.c_str(), &at.sin_addr);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) die("cannot connect to " + host);
  int one = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  inbox_ = "_INBOX." + name + std::to_string(::getpid()) + ".";
  send("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"name\":\"" +
       name + "\"}\r\nSUB " + inbox_ + "* 99\r\n");
  flush();
}

Wire::~Wire() {
  ::close(fd_);
}

void Wire::send(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) die("connection lost while sending");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

bool Wire::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(buffer_.size() * 2);
  ssize_t n = ::recv(fd_, buffer_.data() + end_, buffer_.size() - end_, 0);
  if (n <= 0) return false;
  end_ += static_cast<std::size_t>(n);
  return true;
}

std::string_view Wire::receive() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
    if (!fill()) return {};
  }
  std::string_view all(buffer_.data() + begin_, end_ - begin_);
  begin_ = end_;
  return all;
}

void Wire::flush() {
  send("PING\r\n");
  for (;;) {
    std::string_view have(buffer_.data() + begin_, end_ - begin_);
    std::size_t at = have.find("PONG\r\n");
    if (at != std::string_view::npos) {
      begin_ += at + 6;
      return;
    }
    if (have.find("-ERR") != std::string_view::npos) die("server says " + std::string(have));
    if (!fill()) die("connection closed by the server");
  }
}

bool Wire::next_message(std::string_view& subject, std::string_view& reply, std::size_t& header,
                        std::string_view& body) {
  for (;;) {
    std::string_view have(buffer_.data() + begin_, end_ - begin_);
    std::size_t eol = have.find("\r\n");
    if (eol == std::string_view::npos) {
      if (!fill()) return false;
      continue;
    }
    std::string_view line = have.substr(0, eol);
    bool with_header = line.starts_with("HMSG ");
    if (!with_header && !line.starts_with("MSG ")) {
      if (line.starts_with("-ERR")) die("server says " + std::string(line));
      if (line == "PING") send("PONG\r\n");
      begin_ += eol + 2;
      continue;
    }
    std::string_view words[6];
    std::size_t n = 0;
    for (std::size_t from = 0; from < line.size() && n < 6;) {
      std::size_t to = line.find(' ', from);
      if (to == std::string_view::npos) to = line.size();
      words[n++] = line.substr(from, to - from);
      from = to + 1;
    }
    std::size_t total = 0;
    std::from_chars(words[n - 1].data(), words[n - 1].data() + words[n - 1].size(), total);
    if (have.size() < eol + 2 + total + 2) {
      if (!fill()) return false;
      continue;
    }
    header = 0;
    if (with_header) std::from_chars(words[n - 2].data(), words[n - 2].data() + words[n - 2].size(), header);
    subject = words[1];
    reply = n == (with_header ? 6u : 5u) ? words[3] : std::string_view();
    body = have.substr(eol + 2, total);
    begin_ += eol + 2 + total + 2;
    return true;
  }
}

std::string Wire::request(std::string_view subject, std::string_view text) {
  std::string inbox = inbox_ + std::to_string(next_inbox_++);
  send("PUB " + std::string(subject) + " " + inbox + " " + std::to_string(text.size()) + "\r\n" +
       std::string(text) + "\r\n");
  std::string answer;
  messages(1, [&](std::string_view, std::string_view, std::size_t header, std::string_view body) {
    answer = body.substr(header);
  });
  return answer;
}

}  // namespace weir::bench
