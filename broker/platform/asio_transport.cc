#include "broker/platform/asio_transport.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "broker/base/limits.h"
#include "broker/platform/asio_connection.h"
#include "broker/platform/asio_context.h"
#include "broker/platform/dialling.h"
#include "broker/platform/system.h"
#include "broker/platform/tls_engine.h"

namespace weir::platform {
namespace {

using asio::ip::tcp;

constexpr int kAcceptsPerTurn = 64;
constexpr Nanos kAcceptBackOff = 100 * kMillisecond;  // out of descriptors: wait for some to be freed

// Accepts until its owner drops it. Handlers and timers hold it, as with Socket.
class Acceptor : public std::enable_shared_from_this<Acceptor> {
 public:
  Acceptor(AsioLoop& loop, env::Accepted on_accept)
      : loop_(loop), fd_(loop.impl().io), on_accept_(std::move(on_accept)) {}

  /// May be called again after a failure.
  Status open(const tcp::endpoint& at, bool dual_stack) {
    asio::error_code ec;
    if (fd_.is_open()) fd_.close(ec);
    fd_.open(at.protocol(), ec);
    if (ec) return errno_error(ec.value(), "socket");
    fd_.set_option(tcp::acceptor::reuse_address(true), ec);
    if (at.protocol() == tcp::v6()) fd_.set_option(asio::ip::v6_only(!dual_stack), ec);
    fd_.bind(at, ec);
    if (ec) return errno_error(ec.value(), "bind");
    fd_.listen(static_cast<int>(limits::kAcceptBacklog), ec);
    if (ec) return errno_error(ec.value(), "listen");
    fd_.non_blocking(true, ec);
    fd_.native_non_blocking(true, ec);
    return ok();
  }

  std::uint16_t port() const {
    asio::error_code ec;
    return fd_.local_endpoint(ec).port();
  }

  void arm() {
    if (!fd_.is_open()) return;
    fd_.async_wait(tcp::acceptor::wait_read, [self = shared_from_this()](const asio::error_code& ec) {
      if (!ec) self->accept_some();
    });
  }

  void stop() {
    asio::error_code ec;
    fd_.close(ec);
    loop_.cancel(std::exchange(back_off_, 0));
    // The callback may be what is running now: it dies with the last handler.
  }

 private:
  void accept_some() {
    for (int i = 0; i < kAcceptsPerTurn && fd_.is_open(); ++i) {
      asio::error_code ec;
      tcp::socket peer(loop_.impl().io);
      fd_.accept(peer, ec);
      if (ec == asio::error::would_block || ec == asio::error::try_again) break;
      if (ec == asio::error::interrupted || ec == asio::error::connection_aborted) continue;
      if (ec) return wait_and_arm();
      auto socket = std::make_shared<Socket>(loop_, std::move(peer));
      on_accept_(std::make_unique<AsioConnection>(std::move(socket)));
    }
    arm();
  }

  void wait_and_arm() {
    back_off_ = loop_.at(monotonic_now() + kAcceptBackOff, [self = shared_from_this()] {
      self->back_off_ = 0;
      self->arm();
    });
  }

  AsioLoop& loop_;
  tcp::acceptor fd_;
  env::Accepted on_accept_;
  env::TimerId back_off_ = 0;
};

class AsioListener final : public env::Listener {
 public:
  AsioListener(std::shared_ptr<Acceptor> acceptor, env::Endpoint local)
      : acceptor_(std::move(acceptor)), local_(std::move(local)) {}
  ~AsioListener() override { acceptor_->stop(); }
  env::Endpoint local() const override { return local_; }

 private:
  std::shared_ptr<Acceptor> acceptor_;
  env::Endpoint local_;
};

bool is_wildcard(const std::string& host) {
  return host.empty() || host == "0.0.0.0" || host == "::";
}

// A listen address may be a name ("localhost"); it is looked up inline, once, at start.
Result<asio::ip::address> resolve_listen_host(const std::string& host) {
  asio::error_code ec;
  auto address = asio::ip::make_address(host, ec);
  if (!ec) return address;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (int rc = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); rc != 0) {
    return Error(Code::kInvalid, "lookup " + host + ": " + ::gai_strerror(rc));
  }
  tcp::endpoint endpoint;
  std::memcpy(endpoint.data(), found->ai_addr, std::min<std::size_t>(found->ai_addrlen, endpoint.capacity()));
  ::freeaddrinfo(found);
  return endpoint.address();
}

// Unicast addresses that another machine can use without a scope.
bool is_public_face(const asio::ip::address& a) {
  if (a.is_loopback() || a.is_unspecified() || a.is_multicast()) return false;
  if (a.is_v6()) return !a.to_v6().is_link_local();
  constexpr std::uint32_t kLinkLocal = 0xa9fe;  // 169.254.0.0/16
  return (a.to_v4().to_uint() >> 16) != kLinkLocal;
}

class AsioTransport final : public env::Transport {
 public:
  explicit AsioTransport(AsioLoop& loop) : loop_(loop), alive_(std::make_shared<bool>(true)) {}
  ~AsioTransport() override { *alive_ = false; }

  Result<std::unique_ptr<env::Listener>> listen(const env::Endpoint& at, env::Accepted on_accept) override {
    auto acceptor = std::make_shared<Acceptor>(loop_, std::move(on_accept));
    if (is_wildcard(at.host)) {
      // A machine without IPv6 gets the plain IPv4 wildcard.
      Status opened = acceptor->open({asio::ip::address_v6::any(), at.port}, true);
      if (!opened && opened.error().detail.rfind("bind: address already", 0) != 0) {
        opened = acceptor->open({asio::ip::address_v4::any(), at.port}, false);
      }
      if (!opened) return opened.error();
    } else {
      ASSIGN_OR_RETURN(auto address, resolve_listen_host(at.host));
      RETURN_IF_ERROR(acceptor->open({address, at.port}, false));
    }
    acceptor->arm();
    env::Endpoint local{at.host.empty() ? "0.0.0.0" : at.host, acceptor->port()};
    return std::unique_ptr<env::Listener>(
        std::make_unique<AsioListener>(std::move(acceptor), std::move(local)));
  }

  void dial(const env::Endpoint& to, std::int64_t timeout_ns, env::Dialled done) override {
    start_dialling(loop_, to, timeout_ns, [alive = alive_, done = std::move(done)](auto result) mutable {
      if (*alive) done(std::move(result));
    });
  }

  Result<std::shared_ptr<const env::TlsContext>> tls(const env::TlsSettings& settings) override {
    ASSIGN_OR_RETURN(auto context, open_tls_context(settings));
    std::erase_if(contexts_, [](auto& known) { return known.expired(); });
    contexts_.push_back(context);
    return std::shared_ptr<const env::TlsContext>(std::move(context));
  }
  Status renew_certificates() {
    std::vector<std::shared_ptr<env::TlsContext>> in_use;
    for (const auto& known : contexts_) {
      if (auto context = known.lock()) in_use.push_back(std::move(context));
    }
    return renew_tls_contexts(in_use);
  }

  std::vector<std::string> interface_addresses() override {
    std::vector<std::string> out;
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0) return out;
    for (ifaddrs* i = all; i; i = i->ifa_next) {
      if (!i->ifa_addr || !(i->ifa_flags & IFF_UP)) continue;
      int family = i->ifa_addr->sa_family;
      if (family != AF_INET && family != AF_INET6) continue;
      tcp::endpoint e;
      std::memcpy(e.data(), i->ifa_addr, family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
      if (is_public_face(e.address())) out.push_back(e.address().to_string());
    }
    ::freeifaddrs(all);
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }

 private:
  AsioLoop& loop_;
  std::shared_ptr<bool> alive_;
  std::vector<std::weak_ptr<env::TlsContext>> contexts_;
};

}  // namespace

Status renew_certificates(env::Transport& transport) {
  return static_cast<AsioTransport&>(transport).renew_certificates();
}

std::unique_ptr<env::Transport> make_transport(AsioLoop& loop) {
  return std::make_unique<AsioTransport>(loop);
}

}  // namespace weir::platform
