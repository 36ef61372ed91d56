// Every key and alias of the configuration reference is known, each class behaves as it says.
#include <gtest/gtest.h>

#include "broker/base/text.h"
#include "broker/config/options_build.h"
#include "broker/config/testing_source.h"

namespace weir::config {
namespace {

/// `where` has a '@' that is replaced by one key and a value.
struct KeyRow {
  const char* where;
  const char* keys;  // blank-separated "key=value" or "key"; a value without one is 1
};

constexpr KeyRow kRows[] = {
    {"@",
     "listen=1 host=a net=a port=1 server_name=a client_advertise=a server_tags=a server_metadata={a:b} "
     "feature_flags={a:false} debug=true trace=true trace_verbose=true trace_headers=true logtime=true "
     "logtime_utc=true log_file=a logfile=a log_size_limit log_max_num logfile_size_limit logfile_max_num "
     "syslog=true remote_syslog=a pid_file=a pidfile=a ports_file_dir=a max_traced_msg_len "
     "connect_error_reports reconnect_error_reports http=1 https=1 http_port monitor_port https_port "
     "http_base_path=a prof_port prof_block_rate max_connections max_conn max_subscriptions max_subs "
     "max_sub_tokens max_subscription_tokens max_control_line max_payload max_pending write_deadline=1s "
     "write_timeout=close no_fast_producer_stall=true max_closed_clients ping_interval=1s ping_max "
     "no_header_support=true disable_sublist_cache=true no_sublist_cache=true lame_duck_duration=40s "
     "lame_duck_grace_period=1s tls={} allow_non_tls=true ocsp=true ocsp_cache=true authorization={} "
     "no_auth_user=a accounts={} mappings={} maps={} system_account=$SYS_ system=$SYS_ "
     "no_system_account=true no_system=true no_sys_acc=true default_sentinel=a operator=a operators=a "
     "root=a roots=a root_operator=a root_operators=a resolver=MEM account_resolver=MEM "
     "accounts_resolver=MEM resolver_tls={} resolver_preload={} resolver_pinned_accounts=a trusted=a "
     "trusted_keys=a proxies={} proxy_protocol=true jetstream=true store_dir=a storedir=a "
     "default_js_domain={} cluster={} gateway={} leafnodes={} leaf={} websocket={} ws={} mqtt={}"},
    {"jetstream { @ }",
     "enabled=true enable=true store_dir=a store=a storedir=a max_memory_store max_mem_store max_mem "
     "max_file_store max_file domain=a sync_interval=1s sync=always key=a ek=a encryption_key=a prev_key=a "
     "prev_ek=a prev_encryption_key=a cipher=aes tpm={} extension_hint=no_extend unique_tag=a strict=true "
     "max_outstanding_catchup max_buffered_msgs max_buffered_size request_queue_limit info_queue_limit "
     "meta_compact meta_compact_size meta_compact_sync=true max_concurrent_io=9 limits={}"},
    {"jetstream { tpm { @ } }", "keys_file=a encryption_password=a srk_password=a pcr cipher=a"},
    {"jetstream { limits { @ } }",
     "max_ack_pending max_ha_assets max_request_batch duplicate_window=1s batch={}"},
    {"jetstream { limits { batch { @ } } }",
     "max_inflight_per_stream max_inflight_total max_msgs timeout=1s"},
    {"accounts { A { jetstream { @ } } }",
     "max_memory max_mem mem memory max_store max_file max_disk store disk max_streams streams "
     "max_consumers consumers max_ack_pending mem_max_stream_bytes memory_max_stream_bytes "
     "disk_max_stream_bytes store_max_stream_bytes max_bytes_required=true max_stream_bytes=true "
     "max_bytes=true cluster_traffic=owner"},
    {"cluster { @ }",
     "name=a listen host=a net=a port routes=[] advertise=a cluster_advertise=a no_advertise=true "
     "connect_retries connect_backoff=true authorization={} permissions={} pool_size accounts=[] "
     "compression=s2_auto ping_interval=1s ping_max write_deadline=1s write_timeout=retry tls={}"},
    {"cluster { authorization { @ } }", "user=a username=a pass=a password=a timeout=2"},
    {"cluster { permissions { @ } }", "import=a export=a publish=a subscribe=a"},
    {"cluster { compression { @ } }", "mode=s2_auto rtt_thresholds=[10ms]"},
    {"gateway { @ }",
     "name=a listen host=a net=a port advertise=a connect_retries connect_backoff=true "
     "reject_unknown_cluster=true reject_unknown=true authorization={} tls={} write_deadline=1s "
     "write_timeout=close gateways=[]"},
    {"gateway { gateways [ { @ } ] }", "name=a url=a urls=[] tls={}"},
    {"leafnodes { @ }",
     "listen host=a port advertise=a leafnode_advertise=a no_advertise=true authorization={} tls={} "
     "compression=off min_version=2.8.0 minimum_version=2.8.0 reconnect reconnect_delay reconnect_interval "
     "dial_timeout=1s isolate_leafnode_interest=true isolate=true write_deadline=1s write_timeout=close "
     "remotes=[]"},
    {"leafnodes { authorization { @ } }",
     "user=a pass=a nkey=a account=a timeout proxy_required=true users=[]"},
    {"leafnodes { remotes [ { @ } ] }",
     "url=a urls=[] account=a credentials=a creds=a nkey=a seed=a tls={} hub=true deny_imports=[] "
     "deny_exports=[] no_randomize=true dont_randomize=true compression=off ws_compression=true "
     "ws_no_masking=true jetstream_cluster_migrate=true isolate_leafnode_interest=true isolate=true "
     "request_isolation=true first_info_timeout=1s dial_timeout=1s disabled=true "
     "ignore_discovered_servers=true proxy={}"},
    {"leafnodes { remotes [ { proxy { @ } } ] }", "url=a username=a password=a timeout=1s"},
    {"leafnodes { remotes [ { jetstream_cluster_migrate { @ } } ] }", "leader_migrate_delay=1s"},
    {"websocket { @ }",
     "listen host=a port advertise=a tls={} no_tls=true same_origin=true allowed_origins=[] "
     "compression=true handshake_timeout=2s ping_interval=1s headers={} jwt_cookie=a user_cookie=a "
     "pass_cookie=a token_cookie=a no_auth_user=a authorization={}"},
    {"websocket { authorization { @ } }", "user=a pass=a token=a timeout"},
    {"mqtt { @ }",
     "listen host=a port tls={} authorization={} no_auth_user=a ack_wait=1s js_api_timeout=1s "
     "max_ack_pending js_domain=a stream_replicas consumer_replicas consumer_memory_storage=true "
     "consumer_inactive_threshold=1s consumer_auto_cleanup=1s reject_qos2_publish=true "
     "downgrade_qos2_subscribe=true"},
    {"authorization { @ }",
     "user=a password=a pass=a token=a timeout=1 users=[] default_permissions={} default_permission={} "
     "permissions={} auth_callout={} auth_hook={} proxy_required=true"},
    {"authorization { auth_callout { @ } }",
     "issuer=a auth_users=[] users=[] account=a acc=a xkey=a key=a allowed_accounts=[]"},
    {"authorization { users [ { user: u, @ } ] }",
     "user=a username=a password=a pass=a permissions={} permission={} authorization={} "
     "allowed_connection_types=[standard] connection_types=[MQTT] clients=[WEBSOCKET] proxy_required=true"},
    {"authorization { users [ { @ } ] }", "nkey=UAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    {"authorization { default_permissions { @ } }",
     "publish=a pub=a import=a subscribe=a sub=a export=a allow_responses=true publish_allow_responses=true"},
    {"authorization { default_permissions { publish { @ } } }", "allow=a deny=[a]"},
    {"authorization { default_permissions { allow_responses { @ } } }",
     "max max_msgs max_messages max_responses expires=1s expiration=1s ttl=1s"},
    {"accounts { A { @ } }",
     "nkey=a users=[] default_permissions={} jetstream=enabled limits={} mappings={} maps={} exports=[] "
     "imports=[] msg_trace=a trace_dest=a"},
    {"accounts { A { limits { @ } } }",
     "max_connections max_conn max_subscriptions max_subs max_payload max_pay max_leafnodes max_leafs"},
    {"accounts { A { exports [ { @ } ] } }",
     "stream=a service=a accounts=[] account_token_position response_type=a response=a threshold=1s "
     "response_threshold=1s response_max_time=1s response_time=1s latency=a allow_trace=true"},
    {"accounts { A { exports [ { latency { @ } } ] } }", "subject=a sampling=50%"},
    {"accounts { A { imports [ { @ } ] } }",
     "stream={} service={} prefix=a to=a share=true allow_trace=true"},
    {"accounts { A { imports [ { stream { @ } } ] } }", "account=a subject=a"},
    {"accounts { A { msg_trace { @ } } }", "dest=a sampling=25%"},
    {"accounts { A { mappings { a { @ } } } }", "destination=a dest=a weight=40% cluster=a"},
    {"resolver { @ }",
     "type=full dir=a allow_delete=true hard_delete=true interval=1m limit ttl=1h timeout=2s"},
    {"ocsp { @ }", "mode=auto url=a urls=[]"},
    {"ocsp_cache { @ }", "type=local local_store=a preserve_revoked=true save_interval=1s"},
    {"proxies { @ }", "trusted=[]"},
    {"proxies { trusted [ { @ } ] }", "key=a public_key=a"},
    {"tls { @ }",
     "cert_file=a key_file=a ca_file=a certs=[] certificates=[] verify=true verify_and_map=true "
     "verify_cert_and_check_known_urls=true insecure=true cipher_suites=[] "
     "allow_insecure_cipher_suites=true curve_preferences=[] timeout=2 connection_rate_limit "
     "pinned_certs=[] min_version='1.3' handshake_first=true first=auto immediate=300ms ocsp_peer=true "
     "cert_store=a cert_match_by=a cert_match=a ca_certs_match=[] cert_match_skip_invalid=true"},
    {"tls { certs [ { cert_file: a, key_file: b, @ } ] }", "cert_file=a key_file=a"},
    {"tls { ocsp_peer { @ } }",
     "verify=true ca_timeout=2 allowed_clockskew=30 warn_only=true unknown_is_good=true "
     "allow_when_ca_unreachable=true cache_ttl_when_next_update_unset=1h"},
};

struct Fill {
  std::string text;
  std::string key;
};

std::vector<Fill> fills(const KeyRow& row) {
  std::vector<Fill> out;
  std::string_view rest = row.keys;
  while (!rest.empty()) {
    auto blank = std::min(rest.find(' '), rest.size());
    std::string_view word = rest.substr(0, blank);
    rest.remove_prefix(std::min(blank + 1, rest.size()));
    auto equals = word.find('=');
    Fill fill;
    fill.key = std::string(word.substr(0, equals));
    std::string value(equals == std::string_view::npos ? "1" : word.substr(equals + 1));
    if (value == "$SYS_") value = "'$SYS'";
    fill.text = row.where;
    fill.text.replace(fill.text.find('@'), 1, fill.key + ": " + value);
    out.push_back(std::move(fill));
  }
  return out;
}

void collect(const std::string& text, std::vector<Issue>& errors, Options& options) {
  MapSource source;
  auto tree = parse_text(text, "f", source);
  ASSERT_TRUE(tree.has_value()) << text << " " << tree.error().detail;
  std::vector<Issue> warnings;
  build(tree->root, options, errors, warnings);
}

TEST(Keys, EveryKeyOfTheReferenceIsKnown) {
  int count = 0;
  for (const KeyRow& row : kRows) {
    for (const Fill& fill : fills(row)) {
      std::vector<Issue> errors;
      Options options;
      collect(fill.text, errors, options);
      for (const Issue& e : errors) ADD_FAILURE() << fill.text << " -> " << e.to_string();
      ++count;
    }
  }
  EXPECT_GT(count, 380);
}

TEST(Keys, CaseDoesNotMatter) {
  for (const KeyRow& row : kRows) {
    for (Fill fill : fills(row)) {
      std::string upper = fill.key;
      for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      fill.text.replace(fill.text.rfind(fill.key + ":"), fill.key.size(), upper);
      std::vector<Issue> errors;
      Options options;
      collect(fill.text, errors, options);
      for (const Issue& e : errors) ADD_FAILURE() << fill.text << " -> " << e.to_string();
    }
  }
}

TEST(Keys, AMisspelledKeyIsFoundInEveryBlock) {
  for (const KeyRow& row : kRows) {
    std::string text = row.where;
    auto at = text.find('@');
    text.replace(at, 1, "no_such_key: 1");
    std::vector<Issue> errors;
    Options options;
    collect(text, errors, options);
    bool found = false;
    for (const Issue& e : errors) {
      found = found || (e.text.find("unknown field \"no_such_key\"") == 0 && e.at.column == at + 1);
    }
    EXPECT_TRUE(found) << text;
  }
}

TEST(Keys, EachWrongTypeIsAnErrorOrTaken) {
  // A map where a scalar belongs must never be read as something.
  for (const KeyRow& row : kRows) {
    for (const Fill& fill : fills(row)) {
      for (const char* value : {"{zzz: 1}", "[[1]]", "-9223372036854775808", "2024-01-01T00:00:00Z", "0.1"}) {
        std::string text = row.where;
        text.replace(text.find('@'), 1, fill.key + ": " + value);
        std::vector<Issue> errors;
        Options options;
        collect(text, errors, options);
        for (const Issue& e : errors) EXPECT_TRUE(e.at.known()) << text;
      }
    }
  }
}

TEST(Keys, UnbuiltFeaturesAreRefusedOnce) {
  struct Row {
    const char* text;
    const char* key;
  };
  for (Row row :
       {Row{"gateway { name: a, authorization { user: x } }", "gateway"}, Row{"mqtt {}", "mqtt"},
        Row{"leaf { remotes [ { url: 'nats://a', tls {} } ] }", "leaf"}, Row{"ws { no_tls: true }", "ws"},
        Row{"operator: x", "operator"},
        Row{"tls { cert_file: c, key_file: k, ocsp_peer: true }", "ocsp_peer"},
        Row{"mappings { a: b }", "mappings"}, Row{"accounts { A { exports [ { stream: a } ] } }", "exports"},
        Row{"jetstream { key: secret }", "key"}, Row{"syslog: true", "syslog"},
        Row{"proxy_protocol: on", "proxy_protocol"}, Row{"https_port: 1", "https_port"},
        Row{"feature_flags { js_ack_fc_v2: true }", "js_ack_fc_v2"},
        Row{"cluster { permissions { import: a, export: [b, c] } }", "permissions"},
        Row{"cluster { authorization { user: u, permission { publish: a } } }", "permission"}}) {
    MapSource source;
    Loaded loaded = load_text(row.text, "f", source);
    ASSERT_EQ(loaded.errors.size(), 1u) << row.text;
    std::string wanted = "\"" + std::string(row.key) + "\" is not supported by this version of weir-broker";
    EXPECT_NE(loaded.errors[0].find(wanted), std::string::npos) << loaded.errors[0];
    EXPECT_EQ(loaded.errors[0].rfind("f:1:", 0), 0u);
    ASSERT_EQ(loaded.options.unsupported.size(), 1u);
  }
}

TEST(Keys, AFeatureThatIsOffIsNotRefused) {
  MapSource source;
  for (const char* text : {"syslog: false", "ocsp: off", "proxy_protocol: false", "https_port: 0",
                           "log_size_limit: 0", "feature_flags { js_ack_fc_v2: false }"}) {
    EXPECT_TRUE(load_text(text, "f", source).good()) << text;
  }
}

TEST(Keys, KeysWithoutEffectWarn) {
  MapSource source;
  Loaded loaded = load_text("prof_port: 65432\njetstream { max_concurrent_io: 9 }", "f", source);
  EXPECT_TRUE(loaded.good());
  ASSERT_EQ(loaded.warnings.size(), 2u);
  EXPECT_EQ(loaded.warnings[0], "f:1:1: \"prof_port\" is accepted for compatibility and has no effect");
}

TEST(Keys, KeysOfNodesLinksWithoutEffectWarn) {
  MapSource source;
  for (const char* key :
       {"connect_retries: 5", "connect_backoff: true", "pool_size: 3", "accounts: []", "compression: off",
        "ping_interval: 40s", "ping_max: 3", "write_deadline: 1s", "write_timeout: close"}) {
    Loaded loaded = load_text("cluster { name: c, " + std::string(key) + " }", "f", source);
    EXPECT_TRUE(loaded.good()) << key;
    ASSERT_EQ(loaded.warnings.size(), 1u) << key;
    std::string name(key, std::string_view(key).find(':'));
    EXPECT_EQ(loaded.warnings[0], "f:1:20: \"" + name + "\" is accepted for compatibility and has no effect");
  }
  EXPECT_TRUE(load_text("cluster { name: c, no_advertise: true, authorization { user: u, password: p } }",
                        "f", source)
                  .warnings.empty());
}

TEST(Keys, ReferencedKeysAreExempt) {
  MapSource source;
  EXPECT_TRUE(load_text("MY: 4333\nport: $MY", "f", source).good());
  EXPECT_FALSE(load_text("MY: 4333\nport: 4222", "f", source).good());
}

}  // namespace
}  // namespace weir::config
