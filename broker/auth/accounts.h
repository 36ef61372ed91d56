// broker/auth/accounts.h - who may connect, and into which account.
//
// Room:    pure. Built once per configuration; immutable; a reload builds a new one.
// Accounts: index 0 is always $G; the system account exists unless no_system_account. Each account
//          is a subject space of its own. Indices are stable for the life of the table.
// Errors:  authenticate() fails with kInvalid; the detail is for the log, clients are told
//          'Authorization Violation' and nothing else.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/auth/permissions.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/config/options.h"

namespace weir::auth {

struct Account {
  AccountId id;
  std::string name;
  bool is_system = false;
  config::AccountLimitsConfig limits;
  /// Absent = JetStream off here. $G has it when JetStream is on and no account besides the system
  /// account is configured.
  std::optional<config::AccountJetStreamConfig> jetstream;
};

/// For whom a client's certificate is.
struct CertificateNames {
  std::vector<std::string> alternatives;  // mail addresses, DNS names, URIs, in this order
  std::string subject;                    // RFC 2253
};

/// What a client sent in CONNECT. Absent and empty are the same.
struct Credentials {
  std::string_view user;
  std::string_view password;
  std::string_view token;
  std::string_view connection_type = "STANDARD";
  /// The verified certificate decides, and nothing else of these (tls verify_and_map).
  const CertificateNames* certificate = nullptr;

  bool empty() const { return user.empty() && password.empty() && token.empty(); }
};

struct Identity {
  AccountId account;
  std::string user;                                // empty for token and open servers
  std::shared_ptr<const Permissions> permissions;  // null = everything
};

class AuthTable {
 public:
  /// `options` must have passed config::check_options.
  explicit AuthTable(const config::Options& options);

  /// True = INFO says auth_required.
  bool auth_required() const { return required_; }
  /// Who these credentials belong to. Cost: see is_slow().
  Result<Identity> authenticate(const Credentials& credentials) const;
  /// True when authenticate() would run a bcrypt check (tens of milliseconds and more): a caller
  /// on an event loop may then hand it to a worker; the table is immutable, so that is safe.
  bool is_slow(const Credentials& credentials) const;

  const std::vector<Account>& accounts() const { return accounts_; }
  const Account* find(std::string_view name) const;
  const Account& global() const { return accounts_.front(); }
  /// Null with no_system_account.
  const Account* system() const;

 private:
  struct User {
    std::string name;
    std::string password;
    AccountId account;
    std::shared_ptr<const Permissions> permissions;
    std::vector<std::string> connection_types;
  };
  void add_accounts(const config::Options& options);
  void add_users(const std::vector<config::UserConfig>& users, AccountId account,
                 const std::optional<config::PermissionsConfig>& defaults);
  const User* user(std::string_view name) const;
  const User* user_of(const CertificateNames& certificate) const;
  static Identity identity(const User& user);
  static bool may_use(const User& user, std::string_view connection_type);

  std::vector<Account> accounts_;
  std::vector<User> users_;
  std::unordered_map<std::string, std::size_t> by_name_;  // index in users_
  std::string token_;
  std::string no_auth_user_;
  std::shared_ptr<const Permissions> token_permissions_;
  std::optional<std::size_t> system_;
  bool required_ = false;
};

}  // namespace weir::auth
