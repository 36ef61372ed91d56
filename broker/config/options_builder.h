// broker/config/options_builder.h - reads values of the tree into typed fields; internal to config/.
//
// Room:    pure. One Builder per load; it collects issues instead of stopping at the first.
// Use:     a block is a table of Key<T>. Its class says what this build does with the key:
//          read it (kImplemented), check its type and warn (kNoEffect), or read it and put it on
//          Options::unsupported (kFeature) unless the feature is built or the value means "off".
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "broker/config/conf_value.h"
#include "broker/config/options.h"

namespace weir::config {

enum class KeyClass : std::uint8_t { kImplemented, kNoEffect, kFeature };

class Builder;

template <class T>
struct Key {
  std::string_view names;  // canonical name first, aliases after '|', all lower case
  void (*read)(Builder&, const Member&, T&) = nullptr;  // null: any value is taken
  KeyClass cls = KeyClass::kImplemented;
  Feature feature = Feature::kCluster;
};

template <class T>
constexpr Key<T> no_effect(std::string_view names, void (*read)(Builder&, const Member&, T&)) {
  return {names, read, KeyClass::kNoEffect, Feature::kCluster};
}
template <class T>
constexpr Key<T> needs(Feature feature, std::string_view names,
                       void (*read)(Builder&, const Member&, T&) = nullptr) {
  return {names, read, KeyClass::kFeature, feature};
}

/// Target of blocks that are only checked for their keys.
struct Unread {};

/// True when `key` (lower case) is one of "a|b|c".
bool names_match(std::string_view names, std::string_view key);

class Builder {
 public:
  explicit Builder(Options& out) : options(out) {}

  Options& options;
  std::vector<Issue> errors;
  std::vector<Issue> warnings;

  void error(const Position& at, std::string text) { errors.push_back({at, std::move(text)}); }
  void warn(const Position& at, std::string text) { warnings.push_back({at, std::move(text)}); }

  // Each reads one value; on a wrong type or range it notes an error and leaves `out` alone.
  bool boolean(const Member& m, bool& out);
  bool integer(const Member& m, std::int64_t& out, std::int64_t min, std::int64_t max);
  /// An integer, or where quoted: "10G" with K M G T, binary.
  bool storage_size(const Member& m, std::int64_t& out);
  bool text(const Member& m, std::string& out);
  bool text_list(const Member& m, std::vector<std::string>& out);
  bool text_map(const Member& m, std::map<std::string, std::string>& out);
  /// "10s"; a bare integer means seconds and is warned about.
  bool duration(const Member& m, Nanos& out);
  /// Time-outs of handshakes: "1s" or seconds as integer or float, no warning.
  bool timeout(const Member& m, Nanos& out);
  /// Port, or "host:port".
  bool endpoint(const Member& m, std::string& host, int& port);
  bool port(const Member& m, int& out);
  bool write_timeout(const Member& m, WriteTimeout& out);
  bool want(const Member& m, Value::Kind kind);
  void wrong_type(const Member& m, std::string_view wanted);

  /// Walks a map with its table. Unknown keys are errors, unless some variable refers to them.
  template <class T>
  void block(const Member& m, std::span<const Key<T>> keys, T& target) {
    if (!want(m, Value::Kind::kMap)) return;
    for (const Member& member : m.value.members) one(member, keys, target);
  }
  /// The same for a list of maps, or a single one.
  template <class T>
  void blocks(const Member& m, std::span<const Key<T>> keys) {
    ++in_list_;
    if (m.value.is(Value::Kind::kArray)) {
      for (const Value& item : m.value.items) {
        T target{};
        block(Member{m.key, item.at, item, false}, keys, target);
      }
    } else {
      T target{};
      block(m, keys, target);
    }
    --in_list_;
  }
  /// Keys named by the user (accounts, subjects) inside: places are not recorded by path.
  void enter_list() { ++in_list_; }
  void leave_list() { --in_list_; }

 private:
  template <class T>
  void one(const Member& m, std::span<const Key<T>> keys, T& target);
  void unknown(const Member& m);
  std::string lower_key(const Member& m) const;
  bool begin_key(const Member& m, std::string_view names, KeyClass cls, Feature feature);
  void end_key();
  bool seconds(const Member& m, Nanos& out);

  std::vector<std::string> path_;
  std::vector<bool> hides_;  // per open key: it began an unbuilt feature
  int in_list_ = 0;
  int unbuilt_ = 0;  // > 0 inside a block that is refused as a whole
};

template <class T>
void Builder::one(const Member& m, std::span<const Key<T>> keys, T& target) {
  std::string key = lower_key(m);
  for (const Key<T>& candidate : keys) {
    if (!names_match(candidate.names, key)) continue;
    begin_key(m, candidate.names, candidate.cls, candidate.feature);
    if (candidate.read) candidate.read(*this, m, target);
    end_key();
    return;
  }
  unknown(m);
}

// Readers for plain fields: text<&Options::server_name> and so on.
template <class M>
struct FieldOf;
template <class T, class F>
struct FieldOf<F T::*> {
  using Owner = T;
  using Type = F;
};
template <auto Field>
using OwnerOf = typename FieldOf<decltype(Field)>::Owner;

template <auto Field>
void flag(Builder& b, const Member& m, OwnerOf<Field>& t) {
  b.boolean(m, t.*Field);
}
template <auto Field>
void text(Builder& b, const Member& m, OwnerOf<Field>& t) {
  b.text(m, t.*Field);
}
template <auto Field>
void texts(Builder& b, const Member& m, OwnerOf<Field>& t) {
  b.text_list(m, t.*Field);
}
template <auto Field>
void duration(Builder& b, const Member& m, OwnerOf<Field>& t) {
  b.duration(m, t.*Field);
}
template <auto Field>
void timeout(Builder& b, const Member& m, OwnerOf<Field>& t) {
  b.timeout(m, t.*Field);
}
template <auto Field>
void storage_size(Builder& b, const Member& m, OwnerOf<Field>& t) {
  b.storage_size(m, t.*Field);
}
template <auto Field>
void port(Builder& b, const Member& m, OwnerOf<Field>& t) {
  b.port(m, t.*Field);
}
inline constexpr std::int64_t kInt32Max = std::numeric_limits<std::int32_t>::max();
inline constexpr std::int64_t kInt64Max = std::numeric_limits<std::int64_t>::max();
template <auto Field, std::int64_t Min = 0, std::int64_t Max = kInt32Max>
void number(Builder& b, const Member& m, OwnerOf<Field>& t) {
  using F = typename FieldOf<decltype(Field)>::Type;
  static_assert(Min >= std::numeric_limits<F>::min() && Max <= std::numeric_limits<F>::max());
  std::int64_t value = 0;
  if (b.integer(m, value, Min, Max)) t.*Field = static_cast<F>(value);
}

// Type checks without a field.
template <class T>
void any_bool(Builder& b, const Member& m, T&) {
  bool ignored = false;
  b.boolean(m, ignored);
}
template <class T>
void any_integer(Builder& b, const Member& m, T&) {
  std::int64_t ignored = 0;
  b.integer(m, ignored, std::numeric_limits<std::int64_t>::min(), kInt64Max);
}
template <class T>
void any_text(Builder& b, const Member& m, T&) {
  std::string ignored;
  b.text(m, ignored);
}

// Blocks, one reader each; the file that has the table is named in its comment.
void read_authorization(Builder& b, const Member& m, Options& o);  // options_auth.cc
bool read_permissions(Builder& b, const Member& m,
                      std::optional<PermissionsConfig>& out);                // ..._permissions.cc
void read_users(Builder& b, const Member& m, std::vector<UserConfig>& out);  // options_auth.cc
void read_accounts(Builder& b, const Member& m, Options& o);                 // options_accounts.cc
void read_jetstream(Builder& b, const Member& m, Options& o);                // options_jetstream.cc
void read_cluster(Builder& b, const Member& m, Options& o);                  // options_cluster.cc
void read_tls(Builder& b, const Member& m, TlsConfig& out);                  // options_tls.cc
void read_compression(Builder& b, const Member& m, CompressionConfig& out);  // options_cluster.cc
// Blocks whose keys are known and checked, but have no field yet (options_unbuilt.cc).
void check_websocket(Builder& b, const Member& m, Options& o);
void check_leafnodes(Builder& b, const Member& m, Options& o);
void check_gateway(Builder& b, const Member& m, Options& o);
void check_mqtt(Builder& b, const Member& m, Options& o);
void check_ocsp(Builder& b, const Member& m, Options& o);
void check_ocsp_cache(Builder& b, const Member& m, Options& o);
void check_resolver(Builder& b, const Member& m, Options& o);
void check_proxies(Builder& b, const Member& m, Options& o);
void check_tpm(Builder& b, const Member& m, JetStreamConfig& o);
void check_auth_callout(Builder& b, const Member& m, AuthorizationConfig& o);
void check_exports(Builder& b, const Member& m, AccountConfig& o);
void check_imports(Builder& b, const Member& m, AccountConfig& o);
void check_mappings(Builder& b, const Member& m);
void check_msg_trace(Builder& b, const Member& m, AccountConfig& o);
void check_ocsp_peer(Builder& b, const Member& m, TlsConfig& o);

/// "scheme://[user:pass@]host[:port]".
bool is_route_url(std::string_view url);

}  // namespace weir::config
