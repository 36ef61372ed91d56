// Flags laid over the file's options.
#include "broker/base/text.h"
#include "broker/config/flags.h"
#include "broker/config/options_builder.h"

namespace weir::config {
namespace {

template <class T, class U>
void take(const std::optional<T>& flag, U& out) {
  if (flag) out = *flag;
}

class Applier {
 public:
  Applier(const Flags& f, Options& o, std::vector<Issue>& errors, std::vector<Issue>& warnings)
      : f_(f), o_(o), errors_(errors), warnings_(warnings) {}

  void run() {
    o_.config_file = f_.config_file;
    server();
    authorization();
    tls();
    cluster();
    for (const std::string& name : f_.no_effect) no_effect(name);
    for (const auto& [name, feature] : f_.not_built) need(feature, name);
  }

 private:
  void no_effect(const std::string& name) {
    warnings_.push_back({{}, "flag " + name + " is accepted for compatibility and has no effect"});
  }
  void server() {
    take(f_.host, o_.host);
    port(f_.port, "-port", o_.port);
    port(f_.http_port, "-http_port", o_.http_port);
    port(f_.https_port, "-https_port", o_.https_port);
    if (f_.https_port.value_or(0) != 0) need(Feature::kHttps, "-https_port");
    take(f_.server_name, o_.server_name);
    if (f_.server_name && f_.server_name->find_first_of(" \t\r\n") != std::string::npos) {
      fail("server name cannot contain spaces");
    }
    take(f_.pid_file, o_.pid_file);
    take(f_.client_advertise, o_.client_advertise);
    take(f_.ports_file_dir, o_.ports_file_dir);
    take(f_.log_file, o_.log_file);
    take(f_.logtime, o_.logtime);
    take(f_.logtime_utc, o_.logtime_utc);
    take(f_.debug, o_.debug);
    take(f_.trace, o_.trace);
    take(f_.trace_verbose, o_.trace_verbose);
    number(f_.max_traced_msg_len, "-max_traced_msg_len", o_.max_traced_msg_len);
    take(f_.jetstream, o_.jetstream.enabled);
    if (f_.store_dir) {
      o_.store_dir = *f_.store_dir;
      o_.jetstream.store_dir = *f_.store_dir;
    }
  }

  void authorization() {
    if (!f_.user && !f_.password && !f_.token) return;
    o_.authorization.present = true;
    take(f_.user, o_.authorization.user);
    take(f_.password, o_.authorization.password);
    take(f_.token, o_.authorization.token);
  }

  void tls() {
    bool wanted = f_.tls.value_or(false) || f_.tls_verify.value_or(false);
    if (!wanted && !f_.tls_cert && !f_.tls_key && !f_.tls_ca) return;
    o_.tls.present = true;
    if (o_.tls.certs.empty()) o_.tls.certs.emplace_back();
    take(f_.tls_cert, o_.tls.certs.front().cert_file);
    take(f_.tls_key, o_.tls.certs.front().key_file);
    take(f_.tls_ca, o_.tls.ca_file);
    take(f_.tls_verify, o_.tls.verify);
    need(Feature::kTls, "-tls");
  }

  void cluster() {
    ClusterConfig& c = o_.cluster;
    take(f_.cluster_name, c.name);
    take(f_.no_advertise, c.no_advertise);
    take(f_.cluster_advertise, c.advertise);
    number(f_.connect_retries, "-connect_retries", c.connect_retries);
    if (f_.connect_retries) no_effect("-connect_retries");
    if (f_.cluster_url) {
      c.present = true;
      need(Feature::kCluster, "-cluster");
      listen_url(*f_.cluster_url);
    }
    if (!f_.routes) return;
    c.present = true;
    need(Feature::kCluster, "-routes");
    c.routes.clear();
    std::string_view rest = *f_.routes;
    while (!rest.empty()) {
      auto comma = std::min(rest.find(','), rest.size());
      route(rest.substr(0, comma));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    if (c.port == 0 && !f_.cluster_url) {
      fail("solicited routes require cluster capabilities, e.g. --cluster");
    }
  }

  void route(std::string_view url) {
    while (!url.empty() && (url.front() == ' ' || url.front() == '\t')) url.remove_prefix(1);
    while (!url.empty() && (url.back() == ' ' || url.back() == '\t')) url.remove_suffix(1);
    if (url.empty()) return;
    if (is_route_url(url)) {
      o_.cluster.routes.emplace_back(std::string(url), Position{});
    } else {
      fail("error parsing route url [\"" + std::string(url) + "\"]");
    }
  }

  // "nats://[user:pass@]host:port"; the scheme may be missing.
  void listen_url(std::string_view url) {
    auto scheme = url.find("://");
    if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
    url = url.substr(0, url.find('/'));
    auto at = url.rfind('@');
    if (at != std::string_view::npos) {
      std::string_view login = url.substr(0, at);
      auto colon = login.find(':');
      o_.cluster.user = std::string(login.substr(0, colon));
      o_.cluster.password = colon == std::string_view::npos ? "" : std::string(login.substr(colon + 1));
      url.remove_prefix(at + 1);
    }
    auto colon = url.rfind(':');
    if (colon == std::string_view::npos) return fail("--cluster: missing port in address");
    auto number = parse_i64(url.substr(colon + 1));
    if (!number || *number < -1 || *number > 65535) return fail("--cluster: bad port in address");
    std::string_view host = url.substr(0, colon);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    o_.cluster.host = std::string(host);
    o_.cluster.port = static_cast<int>(*number);
  }

  void fail(std::string text) { errors_.push_back({{}, std::move(text)}); }
  void need(Feature feature, std::string flag) {
    if (!is_built(feature)) o_.unsupported.push_back({{}, feature, std::move(flag)});
  }
  void ranged(std::optional<std::int64_t> flag, std::string_view name, std::int64_t max, int& out) {
    if (!flag) return;
    if (*flag < -1 || *flag > max) return fail("flag " + std::string(name) + " is out of range");
    out = static_cast<int>(*flag);
  }
  void port(std::optional<std::int64_t> flag, std::string_view name, int& out) {
    ranged(flag, name, 65535, out);
  }
  void number(std::optional<std::int64_t> flag, std::string_view name, int& out) {
    ranged(flag, name, kInt32Max, out);
  }

  const Flags& f_;
  Options& o_;
  std::vector<Issue>& errors_;
  std::vector<Issue>& warnings_;
};

}  // namespace

void apply_flags(const Flags& flags, Options& options, std::vector<Issue>& errors,
                 std::vector<Issue>& warnings) {
  Applier(flags, options, errors, warnings).run();
}

}  // namespace weir::config
