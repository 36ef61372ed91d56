#include "broker/platform/dialling.h"

#include <memory>
#include <utility>
#include <vector>

#include "broker/platform/asio_connection.h"
#include "broker/platform/asio_context.h"
#include "broker/platform/system.h"

namespace weir::platform {
namespace {

using asio::ip::tcp;

class Dialling : public std::enable_shared_from_this<Dialling> {
 public:
  Dialling(AsioLoop& loop, env::Endpoint to, env::Dialled done)
      : loop_(loop),
        to_(std::move(to)),
        done_(std::move(done)),
        resolver_(loop.impl().io),
        socket_(loop.impl().io) {}

  void start(Nanos timeout_ns) {
    deadline_ = loop_.at(monotonic_now() + timeout_ns, [self = shared_from_this()] {
      self->deadline_ = 0;
      self->finish_error("i/o timeout");
    });
    asio::error_code ec;
    auto address = asio::ip::make_address(to_.host, ec);
    if (!ec) {
      loop_.post([self = shared_from_this(), address] {
        self->addresses_.emplace_back(address, self->to_.port);
        self->connect_next();
      });
      return;
    }
    resolver_.async_resolve(to_.host, std::to_string(to_.port), tcp::resolver::numeric_service,
                            [self = shared_from_this()](const asio::error_code& error, const auto& results) {
                              self->on_resolved(error, results);
                            });
  }

 private:
  void on_resolved(const asio::error_code& error, const tcp::resolver::results_type& results) {
    if (!done_) return;
    if (error) return finish_error("lookup " + to_.host + ": " + error.message());
    for (const auto& r : results) addresses_.push_back(r.endpoint());
    connect_next();
  }

  void connect_next() {
    if (!done_) return;
    if (next_ == addresses_.size()) return finish_error("connect: " + last_error_);
    asio::error_code ec;
    socket_.close(ec);
    socket_.async_connect(addresses_[next_++], [self = shared_from_this()](const asio::error_code& error) {
      if (!self->done_) return;
      if (!error) return self->finish_connected();
      self->last_error_ = errno_text(error.value());
      self->connect_next();
    });
  }

  void finish_connected() {
    loop_.cancel(std::exchange(deadline_, 0));
    auto socket = std::make_shared<Socket>(loop_, std::move(socket_));
    auto done = std::move(done_);
    done(std::unique_ptr<env::Connection>(std::make_unique<AsioConnection>(std::move(socket))));
  }

  void finish_error(const std::string& why) {
    if (!done_) return;
    loop_.cancel(std::exchange(deadline_, 0));
    asio::error_code ec;
    resolver_.cancel();
    socket_.close(ec);
    auto done = std::move(done_);
    done(Error(Code::kIo, "dial tcp " + env::to_string(to_) + ": " + why));
  }

  AsioLoop& loop_;
  env::Endpoint to_;
  env::Dialled done_;  // empty once it has been called
  tcp::resolver resolver_;
  tcp::socket socket_;
  std::vector<tcp::endpoint> addresses_;
  std::size_t next_ = 0;
  std::string last_error_ = "no addresses";
  env::TimerId deadline_ = 0;
};

}  // namespace

void start_dialling(AsioLoop& loop, const env::Endpoint& to, Nanos timeout_ns, env::Dialled done) {
  std::make_shared<Dialling>(loop, to, std::move(done))->start(timeout_ns);
}

}  // namespace weir::platform
