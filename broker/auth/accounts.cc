#include "broker/auth/accounts.h"

#include <algorithm>

#include "broker/auth/cert_subject.h"
#include "broker/auth/crypto.h"

namespace weir::auth {
namespace {

std::shared_ptr<const Permissions> made(const std::optional<config::PermissionsConfig>& config) {
  return config ? std::make_shared<const Permissions>(*config) : nullptr;
}

Error refused(std::string why) {
  return {Code::kInvalid, std::move(why)};
}

}  // namespace

AuthTable::AuthTable(const config::Options& options) {
  add_accounts(options);
  const config::AuthorizationConfig& auth = options.authorization;
  for (const config::AccountConfig& a : options.accounts) {
    const Account* account = find(a.name);
    if (account) add_users(a.users, account->id, a.default_permissions);
  }
  add_users(auth.users, global().id, auth.default_permissions);
  if (!auth.user.empty()) {
    config::UserConfig single;
    single.name = auth.user;
    single.password = auth.password;
    add_users({single}, global().id, auth.default_permissions);
  }
  token_ = auth.token;
  if (!token_.empty()) token_permissions_ = made(auth.default_permissions);
  no_auth_user_ = options.no_auth_user;
  required_ = !users_.empty() || !token_.empty();
}

void AuthTable::add_accounts(const config::Options& options) {
  auto add = [&](const std::string& name) -> Account& {
    Account account;
    account.id = AccountId(static_cast<std::uint32_t>(accounts_.size()));
    account.name = name;
    accounts_.push_back(std::move(account));
    return accounts_.back();
  };
  const std::string wanted =
      options.system_account.empty() ? std::string(config::kDefaultSystemAccount) : options.system_account;
  Account& global = add(config::kGlobalAccount);
  // Configuring the system account alone does not take JetStream away from everybody else.
  bool only_system = std::all_of(options.accounts.begin(), options.accounts.end(),
                                 [&](const auto& a) { return a.name == wanted; });
  if (options.jetstream.enabled && only_system) {
    global.jetstream.emplace();
    global.jetstream->enabled = true;
  }
  for (const config::AccountConfig& a : options.accounts) {
    Account& account = add(a.name);
    account.limits = a.limits;
    if (a.jetstream && a.jetstream->enabled && options.jetstream.enabled) account.jetstream = a.jetstream;
  }
  if (options.no_system_account) return;
  if (!find(wanted)) add(wanted);
  for (Account& a : accounts_) {
    if (a.name != wanted) continue;
    a.is_system = true;
    system_ = a.id.v;
  }
}

void AuthTable::add_users(const std::vector<config::UserConfig>& users, AccountId account,
                          const std::optional<config::PermissionsConfig>& defaults) {
  std::shared_ptr<const Permissions> shared = made(defaults);
  for (const config::UserConfig& u : users) {
    if (u.name.empty()) continue;  // nkey users sign a nonce; config refuses them until that is built
    auto [slot, fresh] = by_name_.try_emplace(u.name, users_.size());
    if (!fresh) continue;
    User user;
    user.name = u.name;
    user.password = u.password;
    user.account = account;
    user.permissions = u.permissions ? made(u.permissions) : shared;
    user.connection_types = u.connection_types;
    users_.push_back(std::move(user));
  }
}

const Account* AuthTable::find(std::string_view name) const {
  for (const Account& a : accounts_) {
    if (a.name == name) return &a;
  }
  return nullptr;
}

const Account* AuthTable::system() const {
  return system_ ? &accounts_[*system_] : nullptr;
}

const AuthTable::User* AuthTable::user(std::string_view name) const {
  auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nullptr : &users_[found->second];
}

// The first name that is a user's counts, as with nats-server.
const AuthTable::User* AuthTable::user_of(const CertificateNames& certificate) const {
  for (const std::string& name : certificate.alternatives) {
    if (const User* found = user(name)) return found;
  }
  if (const User* found = user(certificate.subject)) return found;
  for (const User& u : users_) {
    if (same_subject(u.name, certificate.subject)) return &u;
  }
  return nullptr;
}

bool AuthTable::may_use(const User& user, std::string_view connection_type) {
  const auto& types = user.connection_types;
  return types.empty() || std::find(types.begin(), types.end(), connection_type) != types.end();
}

Identity AuthTable::identity(const User& user) {
  return {user.account, user.name, user.permissions};
}

bool AuthTable::is_slow(const Credentials& credentials) const {
  if (credentials.empty() && !no_auth_user_.empty()) return false;
  if (!token_.empty() && is_bcrypt(token_) && !credentials.token.empty()) return true;
  const User* found = user(credentials.user);
  return found && is_bcrypt(found->password);
}

Result<Identity> AuthTable::authenticate(const Credentials& credentials) const {
  if (!required_) return Identity{global().id, {}, nullptr};
  if (credentials.certificate) {
    const User* found = user_of(*credentials.certificate);
    if (found && may_use(*found, credentials.connection_type)) return identity(*found);
    return refused("no user is called as the certificate of " + credentials.certificate->subject + " says");
  }
  bool anonymous = credentials.empty() && !no_auth_user_.empty();
  if (!token_.empty()) {
    // An absent token must not match, whatever the configured text.
    if (credentials.token.empty() || !password_matches(token_, credentials.token)) {
      return refused("wrong or missing token");
    }
    return Identity{global().id, {}, token_permissions_};
  }
  const User* found = user(anonymous ? std::string_view(no_auth_user_) : credentials.user);
  if (!found) return refused("unknown user");
  if (!may_use(*found, credentials.connection_type)) {
    return refused("user '" + found->name + "' may not use a connection of this type");
  }
  if (!anonymous && !password_matches(found->password, credentials.password)) {
    return refused("wrong password for user '" + found->name + "'");
  }
  return identity(*found);
}

}  // namespace weir::auth
