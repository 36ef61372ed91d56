// Tables of the blocks that this version knows but has no fields for: their keys are checked, so that
// a misspelling is found, and the block itself is refused by its Feature.
#include "broker/config/options_builder.h"

namespace weir::config {
namespace {

using U = Unread;
using Keys = Key<Unread>;

void ignore_tls(Builder& b, const Member& m, U&) {
  TlsConfig ignored;
  read_tls(b, m, ignored);
}
void ignore_compression(Builder& b, const Member& m, U&) {
  CompressionConfig ignored;
  read_compression(b, m, ignored);
}

template <const auto& Table>
void inner(Builder& b, const Member& m, U& u) {
  b.block<U>(m, Table, u);
}
template <const auto& Table>
void inner_list(Builder& b, const Member& m, U&) {
  b.blocks<U>(m, Table);
}
/// A map is checked, any other value is taken (bool or map, string or map).
template <const auto& Table>
void inner_if_map(Builder& b, const Member& m, U& u) {
  if (m.value.is(Value::Kind::kMap)) b.block<U>(m, Table, u);
}

// websocket
constexpr Keys kListenerAuth[] = {{"user|username"}, {"password|pass"}, {"token"}, {"timeout"}};
constexpr Keys kWebsocket[] = {{"listen"},
                               {"host|net"},
                               {"port"},
                               {"advertise"},
                               {"tls", ignore_tls},
                               {"no_tls", any_bool<U>},
                               {"same_origin", any_bool<U>},
                               {"allowed_origins|allowed_origin|allow_origins|allow_origin|origins|origin"},
                               {"compression", any_bool<U>},
                               {"handshake_timeout"},
                               {"ping_interval"},
                               {"headers"},
                               {"jwt_cookie", any_text<U>},
                               {"user_cookie", any_text<U>},
                               {"pass_cookie", any_text<U>},
                               {"token_cookie", any_text<U>},
                               {"no_auth_user", any_text<U>},
                               {"authorization", inner<kListenerAuth>}};

// leafnodes
constexpr Keys kLeafProxy[] = {{"url"}, {"username"}, {"password"}, {"timeout"}};
constexpr Keys kLeafMigrate[] = {{"leader_migrate_delay"}};
constexpr Keys kLeafRemote[] = {{"url|urls"},
                                {"account|local"},
                                {"credentials|creds"},
                                {"nkey|seed"},
                                {"tls", ignore_tls},
                                {"hub", any_bool<U>},
                                {"deny_imports|deny_import"},
                                {"deny_exports|deny_export"},
                                {"no_randomize|dont_randomize", any_bool<U>},
                                {"compression", ignore_compression},
                                {"ws_compression|websocket_compression", any_bool<U>},
                                {"ws_no_masking|websocket_no_masking", any_bool<U>},
                                {"jetstream_cluster_migrate|js_cluster_migrate", inner_if_map<kLeafMigrate>},
                                {"isolate_leafnode_interest|isolate", any_bool<U>},
                                {"request_isolation", any_bool<U>},
                                {"first_info_timeout"},
                                {"dial_timeout"},
                                {"disabled", any_bool<U>},
                                {"ignore_discovered_servers", any_bool<U>},
                                {"proxy", inner<kLeafProxy>}};
constexpr Keys kLeafAuth[] = {{"user|username"}, {"password|pass"}, {"nkey"},
                              {"account"},       {"timeout"},       {"proxy_required", any_bool<U>},
                              {"users"}};
constexpr Keys kLeafnodes[] = {{"listen"},
                               {"host|net"},
                               {"port"},
                               {"advertise|leafnode_advertise"},
                               {"no_advertise", any_bool<U>},
                               {"authorization", inner<kLeafAuth>},
                               {"tls", ignore_tls},
                               {"compression", ignore_compression},
                               {"min_version|minimum_version"},
                               {"reconnect|reconnect_delay|reconnect_interval"},
                               {"dial_timeout"},
                               {"isolate_leafnode_interest|isolate", any_bool<U>},
                               {"write_deadline"},
                               {"write_timeout"},
                               {"remotes", inner_list<kLeafRemote>}};

// gateway
constexpr Keys kPeerAuth[] = {{"user|username"}, {"password|pass"}, {"timeout"}};
constexpr Keys kRemoteGateway[] = {{"name"}, {"url"}, {"urls"}, {"tls", ignore_tls}};
constexpr Keys kGateway[] = {{"name"},
                             {"listen"},
                             {"host|net"},
                             {"port"},
                             {"advertise"},
                             {"connect_retries", any_integer<U>},
                             {"connect_backoff", any_bool<U>},
                             {"reject_unknown_cluster|reject_unknown", any_bool<U>},
                             {"authorization", inner<kPeerAuth>},
                             {"tls", ignore_tls},
                             {"write_deadline"},
                             {"write_timeout"},
                             {"gateways", inner_list<kRemoteGateway>}};

// mqtt
constexpr Keys kMqtt[] = {{"listen"},
                          {"host|net"},
                          {"port"},
                          {"tls", ignore_tls},
                          {"authorization", inner<kListenerAuth>},
                          {"no_auth_user"},
                          {"ack_wait"},
                          {"js_api_timeout"},
                          {"max_ack_pending", any_integer<U>},
                          {"js_domain"},
                          {"stream_replicas", any_integer<U>},
                          {"consumer_replicas", any_integer<U>},
                          {"consumer_memory_storage", any_bool<U>},
                          {"consumer_inactive_threshold|consumer_auto_cleanup"},
                          {"reject_qos2_publish", any_bool<U>},
                          {"downgrade_qos2_subscribe", any_bool<U>}};

// ocsp, ocsp_cache, ocsp_peer
constexpr Keys kOcsp[] = {{"mode", any_text<U>}, {"url"}, {"urls"}};
constexpr Keys kOcspCache[] = {{"type", any_text<U>},
                               {"local_store", any_text<U>},
                               {"preserve_revoked", any_bool<U>},
                               {"save_interval"}};
constexpr Keys kOcspPeer[] = {{"verify", any_bool<U>},
                              {"ca_timeout"},
                              {"allowed_clockskew"},
                              {"warn_only", any_bool<U>},
                              {"unknown_is_good", any_bool<U>},
                              {"allow_when_ca_unreachable", any_bool<U>},
                              {"cache_ttl_when_next_update_unset"}};

// resolver {}, proxies {}, jetstream.tpm {}
constexpr Keys kResolver[] = {{"type"},
                              {"dir"},
                              {"allow_delete", any_bool<U>},
                              {"hard_delete", any_bool<U>},
                              {"interval"},
                              {"limit", any_integer<U>},
                              {"ttl"},
                              {"timeout"}};
constexpr Keys kProxy[] = {{"key|public_key", any_text<U>}};
constexpr Keys kProxies[] = {{"trusted", inner_list<kProxy>}};
constexpr Keys kTpm[] = {
    {"keys_file"}, {"encryption_password"}, {"srk_password"}, {"pcr", any_integer<U>}, {"cipher"}};

// authorization.auth_callout {}
constexpr Keys kAuthCallout[] = {{"issuer", any_text<U>},
                                 {"auth_users|users"},
                                 {"account|acc", any_text<U>},
                                 {"xkey|key", any_text<U>},
                                 {"allowed_accounts"}};

// accounts.X: exports, imports, msg_trace, and mappings everywhere
constexpr Keys kLatency[] = {{"subject", any_text<U>}, {"sampling"}};
constexpr Keys kExport[] = {{"stream", any_text<U>},
                            {"service", any_text<U>},
                            {"accounts"},
                            {"response_type|response", any_text<U>},
                            {"threshold|response_threshold|response_max_time|response_time"},
                            {"latency", inner_if_map<kLatency>},
                            {"account_token_position", any_integer<U>},
                            {"allow_trace", any_bool<U>}};
constexpr Keys kImportSource[] = {{"account", any_text<U>}, {"subject", any_text<U>}};
constexpr Keys kImport[] = {{"stream", inner<kImportSource>}, {"service", inner<kImportSource>},
                            {"prefix", any_text<U>},          {"to", any_text<U>},
                            {"share", any_bool<U>},           {"allow_trace", any_bool<U>}};
constexpr Keys kMsgTrace[] = {{"dest", any_text<U>}, {"sampling"}};
constexpr Keys kDestination[] = {{"destination|dest", any_text<U>}, {"weight"}, {"cluster", any_text<U>}};

template <const auto& Table>
void check(Builder& b, const Member& m) {
  Unread u;
  b.block<U>(m, Table, u);
}
template <const auto& Table>
void check_if_map(Builder& b, const Member& m) {
  if (m.value.is(Value::Kind::kMap)) check<Table>(b, m);
}

}  // namespace

void check_websocket(Builder& b, const Member& m, Options&) {
  check<kWebsocket>(b, m);
}
void check_leafnodes(Builder& b, const Member& m, Options&) {
  check<kLeafnodes>(b, m);
}
void check_gateway(Builder& b, const Member& m, Options&) {
  check<kGateway>(b, m);
}
void check_mqtt(Builder& b, const Member& m, Options&) {
  check<kMqtt>(b, m);
}
void check_ocsp(Builder& b, const Member& m, Options&) {
  check_if_map<kOcsp>(b, m);
}
void check_ocsp_cache(Builder& b, const Member& m, Options&) {
  check_if_map<kOcspCache>(b, m);
}
void check_ocsp_peer(Builder& b, const Member& m, TlsConfig&) {
  check_if_map<kOcspPeer>(b, m);
}
void check_resolver(Builder& b, const Member& m, Options&) {
  check_if_map<kResolver>(b, m);
}
void check_proxies(Builder& b, const Member& m, Options&) {
  check<kProxies>(b, m);
}
void check_tpm(Builder& b, const Member& m, JetStreamConfig&) {
  check<kTpm>(b, m);
}
void check_auth_callout(Builder& b, const Member& m, AuthorizationConfig&) {
  check<kAuthCallout>(b, m);
}
void check_exports(Builder& b, const Member& m, AccountConfig&) {
  b.blocks<U>(m, kExport);
}
void check_imports(Builder& b, const Member& m, AccountConfig&) {
  b.blocks<U>(m, kImport);
}
void check_msg_trace(Builder& b, const Member& m, AccountConfig&) {
  check_if_map<kMsgTrace>(b, m);
}

// The keys of a mapping are subjects; only what they lead to has known keys.
void check_mappings(Builder& b, const Member& m) {
  if (!b.want(m, Value::Kind::kMap)) return;
  for (const Member& mapping : m.value.members) {
    if (mapping.value.is(Value::Kind::kString)) continue;
    if (mapping.value.is(Value::Kind::kMap) || mapping.value.is(Value::Kind::kArray)) {
      b.blocks<U>(mapping, kDestination);
    } else {
      b.wrong_type(mapping, "a subject, a map or a list of maps");
    }
  }
}

}  // namespace weir::config
