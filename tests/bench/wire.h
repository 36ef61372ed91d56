// tests/bench/wire.h - a bare NATS connection for load: blocking socket, big buffers, no client library,
// so that on two cores the server and not the client is what is measured.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::bench {

class Wire {
 public:
  /// Connects, sends CONNECT and waits for the PONG. Exits the process with a message on a failure.
  Wire(const std::string& host, int port, const std::string& name);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  void send(std::string_view bytes);
  /// Reads what there is (at least one byte, at most the buffer); empty at the end of the stream.
  std::string_view receive();
  /// Reads until `count` messages (MSG or HMSG) arrived; f(subject, reply, headers size, body) for each.
  template <class F>
  void messages(std::uint64_t count, F&& f) {
    while (count > 0) {
      std::string_view subject, reply, body;
      std::size_t header = 0;
      if (!next_message(subject, reply, header, body)) return;
      f(subject, reply, header, body);
      --count;
    }
  }
  /// A request with an inbox of its own; returns the body of the answer, empty for a status.
  std::string request(std::string_view subject, std::string_view body);
  void flush();  // PING, wait for PONG; messages that arrive meanwhile are dropped

 private:
  bool next_message(std::string_view& subject, std::string_view& reply, std::size_t& header,
                    std::string_view& body);
  bool fill();
  int fd_ = -1;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::uint64_t next_inbox_ = 0;
  std::string inbox_;
};

}  // namespace weir::bench
