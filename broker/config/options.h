// broker/config/options.h - everything a node is told at start, typed, with its default.
//
// Room:    pure data. Built by options_build (file) and flags (command line), checked by
//          options_check, then passed down by const reference; nothing below app/ reads a file,
//          a flag or the environment.
// Units:   durations in Nanos, sizes in bytes. Ports: 0 = off (client port: 4222), -1 = any free one.
// Names:   as in the configuration file; compatible with nats-server's keys.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/time.h"
#include "broker/config/features.h"
#include "broker/config/position.h"

namespace weir::config {

inline constexpr const char* kGlobalAccount = "$G";
inline constexpr const char* kDefaultSystemAccount = "$SYS";
inline constexpr std::int64_t kUnset = -1;  // for sizes that the app derives from the machine

/// What a write that cannot make progress within write_deadline does to the connection.
enum class WriteTimeout : std::uint8_t { kDefault, kClose, kRetry };

/// One side of a permission. `allow` absent = everything not denied; present but empty = nothing.
struct SubjectLists {
  std::optional<std::vector<std::string>> allow;
  std::vector<std::string> deny;
};

/// Right to answer: publish to the reply subject of a message that was received.
struct AllowResponses {
  int max = 1;                  // publishes per request; negative = no limit
  Nanos expires = 2 * kMinute;  // after the request; negative = never
};

struct PermissionsConfig {
  SubjectLists publish;
  SubjectLists subscribe;  // entries may be "subject queue"
  std::optional<AllowResponses> allow_responses;
};

struct UserConfig {
  std::string name;      // empty when `nkey` is set
  std::string password;  // plain or a bcrypt hash ($2a$, $2b$, $2x$, $2y$)
  std::string nkey;      // public key "U..."
  std::optional<PermissionsConfig> permissions;
  std::vector<std::string> connection_types;  // STANDARD, WEBSOCKET, ...; empty = any
  bool proxy_required = false;
  Position at;
};

struct AuthorizationConfig {
  std::string user;  // the single user, with `password`
  std::string password;
  std::string token;  // plain or bcrypt
  Nanos timeout = 0;  // 0 = default: 2 s, with TLS the handshake's time-out + 1 s
  std::vector<UserConfig> users;
  std::optional<PermissionsConfig> default_permissions;
  bool proxy_required = false;
  bool present = false;
  Position at;
};

/// JetStream limits of an account; -1 = no limit.
struct AccountJetStreamConfig {
  bool enabled = false;
  std::int64_t max_memory = -1;
  std::int64_t max_store = -1;
  std::int64_t max_streams = -1;
  std::int64_t max_consumers = -1;
  std::int64_t max_ack_pending = -1;
  std::int64_t mem_max_stream_bytes = -1;   // largest max_bytes of a memory stream
  std::int64_t disk_max_stream_bytes = -1;  // largest max_bytes of a file stream
  bool max_bytes_required = false;          // streams must name their max_bytes
  std::string cluster_traffic;              // "system" (default) or "owner"
};

/// Limits of an account; -1 = no limit.
struct AccountLimitsConfig {
  std::int64_t max_connections = -1;
  std::int64_t max_subscriptions = -1;
  std::int64_t max_payload = -1;
  std::int64_t max_leafnodes = -1;
};

struct AccountConfig {
  std::string name;
  std::string nkey;
  std::vector<UserConfig> users;
  std::optional<PermissionsConfig> default_permissions;
  std::optional<AccountJetStreamConfig> jetstream;  // absent = JetStream off for this account
  AccountLimitsConfig limits;
  Position at;
};

/// A certificate chain and its key.
struct TlsCertConfig {
  std::string cert_file;
  std::string key_file;
  Position cert_at;
  Position key_at;
};

struct TlsConfig {
  bool present = false;
  std::vector<TlsCertConfig> certs;  // in order of preference
  std::string ca_file;               // empty = the machine's authorities
  Position ca_at;
  bool verify = false;
  bool verify_and_map = false;
  bool verify_cert_and_check_known_urls = false;
  bool insecure = false;
  std::vector<std::string> cipher_suites;  // IANA names, checked
  bool allow_insecure_cipher_suites = false;
  std::vector<std::string> curve_preferences;  // "CurveP256", "X25519", ..., checked
  Nanos timeout = 2 * kSecond;
  std::int64_t connection_rate_limit = 0;  // handshakes per second; 0 = no limit
  std::vector<std::string> pinned_certs;   // lower-case hex of SHA-256 over the SPKI
  std::string min_version = "1.2";
  bool handshake_first = false;
  Nanos handshake_first_fallback = 0;  // > 0: send INFO after this time without a hello
  Position at;
};

struct CompressionConfig {
  std::string mode = "accept";
  std::vector<Nanos> rtt_thresholds;  // s2_auto only
};

struct ClusterConfig {
  bool present = false;
  std::string name;
  std::string host = "0.0.0.0";
  int port = 0;
  std::vector<std::pair<std::string, Position>> routes;  // URLs as written
  std::string advertise;
  bool no_advertise = false;
  int connect_retries = 0;       // without effect, as all below that say so
  bool connect_backoff = false;  // without effect
  std::string user;
  std::string password;
  Nanos auth_timeout = 0;                               // 0 = 2 s
  std::optional<PermissionsConfig> permissions;         // refused: Feature::kRoutePermissions
  int pool_size = 0;                                    // without effect
  std::vector<std::string> accounts;                    // without effect
  CompressionConfig compression;                        // without effect
  Nanos ping_interval = 0;                              // without effect
  int ping_max = 0;                                     // without effect
  Nanos write_deadline = 0;                             // without effect
  WriteTimeout write_timeout = WriteTimeout::kDefault;  // without effect
  TlsConfig tls;
  Position at;
};

struct JetStreamLimitsConfig {
  std::int64_t max_ack_pending = 0;  // 0 = no limit, here and below
  std::int64_t max_ha_assets = 0;
  std::int64_t max_request_batch = 0;
  Nanos duplicate_window = 0;
  std::int64_t batch_max_inflight_per_stream = 50;
  std::int64_t batch_max_inflight_total = 1000;
  std::int64_t batch_max_msgs = 1000;
  Nanos batch_timeout = 10 * kSecond;
};

struct JetStreamConfig {
  bool enabled = false;
  std::string store_dir;                   // empty = Options::store_dir
  std::int64_t max_memory_store = kUnset;  // kUnset = from the machine's memory; 0 = none
  std::int64_t max_file_store = kUnset;    // kUnset = from the disk's free space; 0 = none
  std::string domain;
  bool sync_always = true;            // Weir's default: acknowledged = on stable storage
  Nanos sync_interval = 2 * kMinute;  // used when !sync_always
  bool strict = true;                 // reject unknown fields of API requests
  std::string unique_tag;
  std::string extension_hint;
  std::int64_t max_outstanding_catchup = 64 << 20;
  std::int64_t max_buffered_msgs = 100'000;
  std::int64_t max_buffered_size = 128 << 20;
  std::int64_t request_queue_limit = 10'000;
  std::int64_t info_queue_limit = 10'000;
  std::int64_t meta_compact = 0;
  std::int64_t meta_compact_size = 0;
  bool meta_compact_sync = false;
  std::int64_t max_concurrent_io = 4096;
  JetStreamLimitsConfig limits;
  Position at;
};

/// A key whose feature is not built into this version; the start must be refused.
struct Unsupported {
  Position at;
  Feature feature;
  std::string key;  // as in the file, lower case
};

struct Options {
  // Client listener.
  std::string host = "0.0.0.0";
  int port = 4222;
  bool dont_listen = false;
  std::string client_advertise;
  // Identity.
  std::string server_name;  // empty = the server's id
  std::vector<std::string> server_tags;
  std::map<std::string, std::string> server_metadata;
  // Logging and files.
  bool debug = false;
  bool trace = false;
  bool trace_verbose = false;
  bool trace_headers = false;
  bool logtime = true;
  bool logtime_utc = false;
  std::string log_file;  // empty = stderr
  int max_traced_msg_len = 0;
  int connect_error_reports = 3600;
  int reconnect_error_reports = 1;
  std::string pid_file;
  std::string ports_file_dir;
  std::string config_file;  // as given with -c
  // Monitoring.
  std::string http_host;  // empty = `host`
  int http_port = 0;
  int https_port = 0;
  std::string http_base_path = "/";
  // Limits of a connection.
  std::int64_t max_connections = 65'536;  // <= 0, when set, refuses every client
  std::int64_t max_subscriptions = 0;     // per connection; 0 = no limit
  int max_sub_tokens = 0;                 // 0 = no limit
  std::int64_t max_control_line = 4096;
  std::int64_t max_payload = 1 << 20;
  std::int64_t max_pending = 64 << 20;
  Nanos write_deadline = 10 * kSecond;
  WriteTimeout write_timeout = WriteTimeout::kDefault;
  bool no_fast_producer_stall = false;
  std::int64_t max_closed_clients = 10'000;
  Nanos ping_interval = 2 * kMinute;
  int ping_max = 2;
  bool no_header_support = false;
  bool disable_sublist_cache = false;
  Nanos lame_duck_duration = 2 * kMinute;
  Nanos lame_duck_grace_period = 10 * kSecond;
  // Who may connect.
  AuthorizationConfig authorization;
  std::string no_auth_user;
  std::vector<AccountConfig> accounts;  // in order of appearance; never contains $G
  std::string system_account;           // empty = $SYS, made when absent
  bool no_system_account = false;
  bool allow_non_tls = false;
  TlsConfig tls;
  // JetStream.
  JetStreamConfig jetstream;
  std::string store_dir;  // empty = <temporary directory>/nats
  std::map<std::string, std::string> default_js_domain;
  // Cluster.
  ClusterConfig cluster;

  // Where things stood.
  std::vector<Unsupported> unsupported;       // not empty = refuse to start
  std::map<std::string, Position> positions;  // by key path, "jetstream.store_dir"; canonical names
  std::string digest_text;                    // canonical JSON of the file; its SHA-256 is the digest

  /// Place of a key ("" path = unknown).
  Position where(const std::string& path) const {
    auto it = positions.find(path);
    return it == positions.end() ? Position{} : it->second;
  }
  /// The directory below which JetStream keeps "jetstream/"; empty = not configured.
  const std::string& effective_store_dir() const {
    return jetstream.store_dir.empty() ? store_dir : jetstream.store_dir;
  }
};

}  // namespace weir::config
