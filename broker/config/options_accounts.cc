// accounts {}: users, limits and JetStream of each account.
#include <set>

#include "broker/base/text.h"
#include "broker/config/options_builder.h"

namespace weir::config {
namespace {

using Js = AccountJetStreamConfig;
using Limits = AccountLimitsConfig;

void cluster_traffic(Builder& b, const Member& m, Js& js) {
  std::string word;
  if (!b.text(m, word)) return;
  if (word != "system" && word != "owner") {
    b.error(m.value.at, "\"cluster_traffic\" must be 'system' or 'owner'");
    return;
  }
  js.cluster_traffic = std::move(word);
}

constexpr Key<Js> kJetStreamKeys[] = {
    {"max_memory|max_mem|mem|memory", number<&Js::max_memory, -1, kInt64Max>},
    {"max_store|max_file|max_disk|store|disk", number<&Js::max_store, -1, kInt64Max>},
    {"max_streams|streams", number<&Js::max_streams, -1>},
    {"max_consumers|consumers", number<&Js::max_consumers, -1>},
    {"max_ack_pending", number<&Js::max_ack_pending, -1>},
    {"mem_max_stream_bytes|memory_max_stream_bytes", number<&Js::mem_max_stream_bytes, -1, kInt64Max>},
    {"disk_max_stream_bytes|store_max_stream_bytes", number<&Js::disk_max_stream_bytes, -1, kInt64Max>},
    {"max_bytes_required|max_stream_bytes|max_bytes", flag<&Js::max_bytes_required>},
    no_effect<Js>("cluster_traffic", cluster_traffic),
};

void account_jetstream(Builder& b, const Member& m, AccountConfig& account) {
  Js js;
  if (m.value.is(Value::Kind::kBool)) {
    js.enabled = m.value.boolean;
  } else if (m.value.is(Value::Kind::kString)) {
    std::string word = to_lower(m.value.text);
    if (word != "enabled" && word != "enable" && word != "disabled" && word != "disable") {
      b.error(m.value.at, "Expected 'enabled' or 'disabled' for string value, got '" + m.value.text + "'");
      return;
    }
    js.enabled = word[0] == 'e';
  } else if (m.value.is(Value::Kind::kMap)) {
    js.enabled = true;
    b.block<Js>(m, kJetStreamKeys, js);
  } else {
    b.wrong_type(m, "a map, a boolean or 'enabled'");
    return;
  }
  account.jetstream = std::move(js);
}

constexpr Key<Limits> kLimitKeys[] = {
    {"max_connections|max_conn", number<&Limits::max_connections, -1>},
    {"max_subscriptions|max_subs", number<&Limits::max_subscriptions, -1>},
    {"max_payload|max_pay", number<&Limits::max_payload, -1>},
    {"max_leafnodes|max_leafs", number<&Limits::max_leafnodes, -1>},
};

void account_limits(Builder& b, const Member& m, AccountConfig& account) {
  b.block<Limits>(m, kLimitKeys, account.limits);
}
void account_users(Builder& b, const Member& m, AccountConfig& account) {
  read_users(b, m, account.users);
}
void account_permissions(Builder& b, const Member& m, AccountConfig& account) {
  read_permissions(b, m, account.default_permissions);
}
void account_mappings(Builder& b, const Member& m, AccountConfig&) {
  check_mappings(b, m);
}

constexpr Key<AccountConfig> kAccountKeys[] = {
    needs<AccountConfig>(Feature::kNkeyUsers, "nkey", text<&AccountConfig::nkey>),
    {"users", account_users},
    {"default_permissions|default_permission|permissions", account_permissions},
    {"jetstream", account_jetstream},
    {"limits", account_limits},
    needs<AccountConfig>(Feature::kMappings, "mappings|maps", account_mappings),
    needs<AccountConfig>(Feature::kImportsExports, "exports", check_exports),
    needs<AccountConfig>(Feature::kImportsExports, "imports", check_imports),
    needs<AccountConfig>(Feature::kAccountTrace, "msg_trace|trace_dest", check_msg_trace),
};

bool good_name(Builder& b, const std::string& name, const Position& at) {
  if (name.empty() || name.find_first_of(" \t\r\n") != std::string::npos) {
    b.error(at, "\"" + name + "\" is not a name for an account");
    return false;
  }
  if (name != kGlobalAccount) return true;
  b.error(at, "\"$G\" is a Reserved Account");
  return false;
}

void account_names(Builder& b, const Member& m, Options& o) {
  std::set<std::string> seen;
  for (const Value& item : m.value.items) {
    AccountConfig account;
    if (!b.text(Member{m.key, item.at, item, false}, account.name)) continue;
    if (!good_name(b, account.name, item.at)) continue;
    if (!seen.insert(account.name).second) {
      b.error(item.at, "Duplicate Account Entry: " + account.name);
      continue;
    }
    account.at = item.at;
    o.accounts.push_back(std::move(account));
  }
}

}  // namespace

void read_accounts(Builder& b, const Member& m, Options& o) {
  o.accounts.clear();
  if (m.value.is(Value::Kind::kArray)) {
    account_names(b, m, o);
    return;
  }
  if (!b.want(m, Value::Kind::kMap)) return;
  b.enter_list();
  for (const Member& entry : m.value.members) {
    if (!entry.value.is(Value::Kind::kMap)) {
      if (!entry.used_as_variable) b.error(entry.at, "Expected map entries for accounts");
      continue;
    }
    if (!good_name(b, entry.key, entry.at)) continue;
    AccountConfig account;
    account.name = entry.key;
    account.at = entry.at;
    b.block<AccountConfig>(entry, kAccountKeys, account);
    o.accounts.push_back(std::move(account));
  }
  b.leave_list();
}

}  // namespace weir::config
