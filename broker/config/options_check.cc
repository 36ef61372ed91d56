#include "broker/config/options_check.h"

#include <algorithm>
#include <set>

#include "broker/base/text.h"

namespace weir::config {
namespace {

constexpr std::int64_t kPayloadWarnBytes = 8 << 20;

class Checker {
 public:
  Checker(const Options& o, std::vector<Issue>& errors, std::vector<Issue>& warnings)
      : o_(o), errors_(errors), warnings_(warnings) {}

  void run() {
    listeners();
    limits();
    authorization();
    users();
    system_account();
    jetstream();
    cluster();
    client_tls();
    cluster_tls();
  }

 private:
  void fail(const Position& at, std::string text) { errors_.push_back({at, std::move(text)}); }
  void warn(const Position& at, std::string text) { warnings_.push_back({at, std::move(text)}); }

  const AccountConfig* account(const std::string& name) const {
    for (const AccountConfig& a : o_.accounts) {
      if (a.name == name) return &a;
    }
    return nullptr;
  }
  bool any_users() const {
    if (!o_.authorization.users.empty()) return true;
    return std::any_of(o_.accounts.begin(), o_.accounts.end(), [](auto& a) { return !a.users.empty(); });
  }

  void same_port(const char* a, int port_a, const char* b, int port_b, const char* key) {
    if (port_a <= 0 || port_a != port_b) return;
    fail(o_.where(key), std::string(a) + " and " + b + " cannot share port " + std::to_string(port_a));
  }
  void listeners() {
    same_port("clients", o_.port, "monitoring", o_.http_port, "http_port");
    same_port("clients", o_.port, "cluster", o_.cluster.port, "cluster.port");
    same_port("monitoring", o_.http_port, "cluster", o_.cluster.port, "cluster.port");
    if (o_.http_port != 0 && o_.https_port != 0) {
      fail(o_.where("https_port"), "can't specify both HTTP (" + std::to_string(o_.http_port) +
                                       ") and HTTPS (" + std::to_string(o_.https_port) + ") ports");
    }
  }

  void limits() {
    if (o_.max_payload > o_.max_pending) {
      fail(o_.where("max_payload"), "max_payload (" + std::to_string(o_.max_payload) +
                                        ") cannot be higher than max_pending (" +
                                        std::to_string(o_.max_pending) + ")");
    } else if (o_.max_payload > kPayloadWarnBytes) {
      warn(o_.where("max_payload"),
           "Maximum payloads over 8 MB are generally discouraged and could "
           "lead to poor performance");
    }
    if (o_.lame_duck_grace_period >= o_.lame_duck_duration) {
      fail(o_.where("lame_duck_grace_period"), "lame duck grace period (" +
                                                   format_duration(o_.lame_duck_grace_period) +
                                                   ") should be strictly lower than lame duck duration (" +
                                                   format_duration(o_.lame_duck_duration) + ")");
    }
  }

  void authorization() {
    const AuthorizationConfig& a = o_.authorization;
    bool single = !a.user.empty() || !a.password.empty();
    if (a.user.empty() && !a.password.empty()) {
      fail(a.at, "authorization has a password but no user: nobody would be asked for it");
    }
    if (single && !a.token.empty()) fail(a.at, "Cannot have a user/pass and token");
    if (single && any_users()) fail(a.at, "Can not have a single user/pass and a users array");
    if (!a.token.empty() && any_users()) fail(a.at, "Can not have a token and a users array");
  }

  void user_list(const std::vector<UserConfig>& list, std::set<std::string>& seen) {
    for (const UserConfig& u : list) {
      const std::string& id = u.nkey.empty() ? u.name : u.nkey;
      if (!seen.insert(id).second) fail(u.at, "Duplicate user \"" + id + "\" detected");
    }
  }
  void users() {
    std::set<std::string> seen;
    for (const AccountConfig& a : o_.accounts) user_list(a.users, seen);
    user_list(o_.authorization.users, seen);
    if (o_.no_auth_user.empty()) return;
    Position at = o_.where("no_auth_user");
    if (seen.empty()) {
      fail(at, "no_auth_user: \"" + o_.no_auth_user + "\" present, but users/nkeys are not defined");
    } else if (!seen.count(o_.no_auth_user)) {
      fail(at, "no_auth_user: \"" + o_.no_auth_user +
                   "\" not present as user or nkey in authorization block or account configuration");
    }
  }

  void system_account() {
    const std::string& name = o_.system_account;
    Position at = o_.where("system_account");
    if (!name.empty() && name != kDefaultSystemAccount && name != kGlobalAccount && !account(name)) {
      fail(at, "error resolving system account: account \"" + name + "\" missing");
    }
    if (name == kGlobalAccount) fail(at, "the system account can not be $G");
    if (!name.empty() && o_.no_system_account) {
      fail(at, "system_account and no_system_account contradict each other");
    }
    const AccountConfig* system = account(name.empty() ? kDefaultSystemAccount : name);
    if (system && system->jetstream && system->jetstream->enabled && o_.jetstream.enabled) {
      fail(system->at, "Not allowed to enable JetStream on the system account");
    }
  }

  void jetstream() {
    const JetStreamConfig& js = o_.jetstream;
    Position both = o_.where("jetstream.store_dir");
    if (both.known() && o_.where("store_dir").known() && !o_.store_dir.empty() &&
        o_.store_dir != js.store_dir) {
      fail(both, "Duplicate 'store_dir' configuration");
    }
    if (!js.enabled || !o_.cluster.present || o_.cluster.port == 0) return;
    if (o_.server_name.empty()) {
      fail(o_.cluster.at, "jetstream cluster requires `server_name` to be set");
    }
    if (o_.cluster.name.empty()) {
      fail(o_.cluster.at, "jetstream cluster requires `cluster.name` to be set");
    }
  }

  void cluster() {
    for (const std::string& name : o_.cluster.accounts) {
      if (account(name) || name == kGlobalAccount || name == kDefaultSystemAccount) continue;
      fail(o_.where("cluster.accounts"), "cluster account \"" + name + "\" is not configured");
    }
  }

  void certificates(const TlsConfig& tls) {
    auto missing = [&](const std::string& what) {
      fail(tls.at, "missing " + what + " in TLS configuration");
    };
    if (tls.certs.empty()) missing("'cert_file' and 'key_file'");
    for (const TlsCertConfig& c : tls.certs) {
      if (c.cert_file.empty()) {
        missing(c.key_file.empty() ? "'cert_file' and 'key_file'" : "'cert_file'");
      } else if (c.key_file.empty()) {
        missing("'key_file'");
      }
    }
  }
  void client_tls() {
    if (!o_.tls.present) return;
    certificates(o_.tls);
    if (o_.tls.verify_cert_and_check_known_urls) {
      fail(o_.where("tls.verify_cert_and_check_known_urls"),
           "verify_cert_and_check_known_urls is for nodes, not for clients");
    }
    if (o_.tls.verify_and_map && !any_users()) {
      fail(o_.tls.at, "verify_and_map finds users by their certificates, and there are no users");
    }
  }
  void cluster_tls() {
    const TlsConfig& tls = o_.cluster.tls;
    if (!tls.present) return;
    certificates(tls);
    if (tls.verify_and_map && o_.cluster.user.empty()) {
      fail(tls.at, "verify_and_map compares with the user of cluster authorization, and there is none");
    }
    if (tls.ca_file.empty()) {
      warn(tls.at, "without 'ca_file' nodes trust everybody whom the machine's certificate authorities know");
    }
    if (tls.insecure) {
      warn(o_.where("cluster.tls.insecure"), "insecure: this node does not verify the nodes that it dials");
    }
  }

  const Options& o_;
  std::vector<Issue>& errors_;
  std::vector<Issue>& warnings_;
};

}  // namespace

void check_options(const Options& options, std::vector<Issue>& errors, std::vector<Issue>& warnings) {
  Checker(options, errors, warnings).run();
}

}  // namespace weir::config
