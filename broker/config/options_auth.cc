// authorization {} and lists of users.
#include <algorithm>
#include <array>

#include "broker/base/text.h"
#include "broker/config/options_builder.h"

namespace weir::config {
namespace {

constexpr std::array<std::string_view, 7> kConnectionTypes = {
    "STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"};

std::string to_upper(std::string_view s) {
  std::string out(s);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

void connection_types(Builder& b, const Member& m, UserConfig& user) {
  std::vector<std::string> types;
  if (!b.text_list(m, types)) return;
  for (std::string& type : types) {
    type = to_upper(type);
    if (std::find(kConnectionTypes.begin(), kConnectionTypes.end(), type) == kConnectionTypes.end()) {
      b.error(m.value.at, "invalid connection types [\"" + type + "\"]");
      return;
    }
  }
  user.connection_types = std::move(types);
}

void user_permissions(Builder& b, const Member& m, UserConfig& user) {
  read_permissions(b, m, user.permissions);
}

constexpr Key<UserConfig> kUserKeys[] = {
    {"user|username", text<&UserConfig::name>},
    {"password|pass", text<&UserConfig::password>},
    needs<UserConfig>(Feature::kNkeyUsers, "nkey", text<&UserConfig::nkey>),
    {"permissions|permission|authorization", user_permissions},
    {"allowed_connection_types|connection_types|clients", connection_types},
    needs<UserConfig>(Feature::kProxies, "proxy_required", flag<&UserConfig::proxy_required>),
};

bool is_public_nkey(std::string_view key, char prefix) {
  if (key.size() != 56 || key[0] != prefix) return false;
  return key.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == std::string_view::npos;
}

void add_user(Builder& b, const Member& m, std::vector<UserConfig>& out) {
  UserConfig user;
  user.at = m.value.at;
  std::size_t errors = b.errors.size();
  b.block<UserConfig>(m, kUserKeys, user);
  if (b.errors.size() != errors) return;
  if (!user.nkey.empty()) {
    if (!is_public_nkey(user.nkey, 'U')) {
      b.error(user.at, "Not a valid public nkey for a user: \"" + user.nkey + "\"");
    } else if (!user.name.empty() || !user.password.empty()) {
      b.error(user.at, "Nkey users do not take usernames or passwords");
    }
  } else if (user.name.empty()) {
    b.error(user.at, "User entry requires a user");
    return;
  }
  out.push_back(std::move(user));
}

void authorization_users(Builder& b, const Member& m, AuthorizationConfig& a) {
  read_users(b, m, a.users);
}
void default_permissions(Builder& b, const Member& m, AuthorizationConfig& a) {
  read_permissions(b, m, a.default_permissions);
}

constexpr Key<AuthorizationConfig> kAuthorizationKeys[] = {
    {"user|username", text<&AuthorizationConfig::user>},
    {"password|pass", text<&AuthorizationConfig::password>},
    {"token", text<&AuthorizationConfig::token>},
    {"timeout", timeout<&AuthorizationConfig::timeout>},
    {"users", authorization_users},
    {"default_permissions|default_permission|permissions", default_permissions},
    needs<AuthorizationConfig>(Feature::kAuthCallout, "auth_callout|auth_hook", check_auth_callout),
    needs<AuthorizationConfig>(Feature::kProxies, "proxy_required",
                               flag<&AuthorizationConfig::proxy_required>),
};

}  // namespace

void read_users(Builder& b, const Member& m, std::vector<UserConfig>& out) {
  if (!m.value.is(Value::Kind::kArray)) {
    b.wrong_type(m, "an array of users");
    return;
  }
  b.enter_list();
  for (const Value& item : m.value.items) add_user(b, Member{m.key, item.at, item, false}, out);
  b.leave_list();
}

void read_authorization(Builder& b, const Member& m, Options& o) {
  AuthorizationConfig a;
  a.present = true;
  a.at = m.at;
  b.block<AuthorizationConfig>(m, kAuthorizationKeys, a);
  o.authorization = std::move(a);
}

}  // namespace weir::config
