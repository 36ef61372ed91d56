// broker/api/stream_config.h - the configuration of a stream as clients send and read it.
//
// Room:    pure. Plain data; the rules are in stream_check.h.
// Thread:  any. Owner: whoever holds the value.
// Units:   durations are Nanos; sizes in bytes; -1 = unlimited where a comment says so.
// Invariant: decode(encode(c)) == c, and encode gives one text per value (fixed field order, map
//          sorted), because replicas store that text in their logs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "broker/api/error.h"
#include "broker/base/ids.h"
#include "broker/base/time.h"

namespace weir::api {

enum class Retention : std::uint8_t { kLimits, kInterest, kWorkQueue };
enum class Discard : std::uint8_t { kOld, kNew };
enum class Storage : std::uint8_t { kFile, kMemory };
enum class Compression : std::uint8_t { kNone, kS2 };
enum class PersistMode : std::uint8_t { kDefault, kAsync };

using Metadata = std::map<std::string, std::string>;

struct Placement {
  std::string cluster;
  std::vector<std::string> tags;
  std::string preferred;  // a server name; step-down requests only
  bool operator==(const Placement&) const = default;
};

struct SubjectTransform {
  std::string src;
  std::string dest;
  bool operator==(const SubjectTransform&) const = default;
};

struct Republish {
  std::string src;
  std::string dest;
  bool headers_only = false;
  bool operator==(const Republish&) const = default;
};

struct ExternalStream {
  std::string api;      // API prefix of the other domain or account
  std::string deliver;  // prefix for delivery subjects
  bool operator==(const ExternalStream&) const = default;
};

/// A consumer made beforehand at the origin, to which a mirror or source attaches.
struct SourceConsumer {
  std::string name;
  std::string deliver_subject;
  bool operator==(const SourceConsumer&) const = default;
};

/// A mirror's origin, or one of the sources.
struct StreamSource {
  std::string name;
  StreamSeq opt_start_seq;  // 0 = from the beginning
  std::optional<Wall> opt_start_time;
  std::string filter_subject;
  std::vector<SubjectTransform> subject_transforms;
  std::optional<ExternalStream> external;
  std::optional<SourceConsumer> consumer;
  bool operator==(const StreamSource&) const = default;
};

/// Defaults and caps for the stream's consumers; 0 = none.
struct ConsumerLimits {
  Nanos inactive_threshold = 0;
  std::int64_t max_ack_pending = 0;
  bool operator==(const ConsumerLimits&) const = default;
};

struct StreamConfig {
  std::string name;
  std::string description;
  std::vector<std::string> subjects;
  Retention retention = Retention::kLimits;
  std::int64_t max_consumers = -1;         // -1 = unlimited
  std::int64_t max_msgs = -1;              // -1 = unlimited
  std::int64_t max_bytes = -1;             // -1 = unlimited
  Nanos max_age = 0;                       // 0 = no limit
  std::int64_t max_msgs_per_subject = -1;  // -1 = unlimited
  std::int32_t max_msg_size = -1;          // -1 = unlimited; headers and body together
  Discard discard = Discard::kOld;
  bool discard_new_per_subject = false;
  Storage storage = Storage::kFile;
  std::int32_t num_replicas = 1;
  bool no_ack = false;
  Nanos duplicate_window = 0;  // 0 before defaulting and for mirrors
  std::optional<Placement> placement;
  std::optional<StreamSource> mirror;
  std::vector<StreamSource> sources;
  Compression compression = Compression::kNone;
  StreamSeq first_seq;  // 0 = start at 1
  std::optional<SubjectTransform> subject_transform;
  std::optional<Republish> republish;
  bool allow_direct = false;
  bool mirror_direct = false;
  bool sealed = false;
  bool deny_delete = false;
  bool deny_purge = false;
  bool allow_rollup_hdrs = false;
  ConsumerLimits consumer_limits;
  bool allow_msg_ttl = false;
  Nanos subject_delete_marker_ttl = 0;
  bool allow_msg_counter = false;
  bool allow_atomic = false;
  bool allow_msg_schedules = false;
  PersistMode persist_mode = PersistMode::kDefault;
  bool allow_batched = false;
  Metadata metadata;
  bool operator==(const StreamConfig&) const = default;
};

std::string_view to_text(Retention v);
std::string_view to_text(Discard v);
std::string_view to_text(Storage v);
std::string_view to_text(Compression v);
std::string_view to_text(PersistMode v);

/// What a decoder gives: the value, or the error to answer with.
template <class T>
using Decoded = std::variant<T, ApiError>;

/// How to treat fields that are not known.
enum class Strictness : std::uint8_t {
  kStrict,   // an unknown field is an error (default of the server)
  kLenient,  // unknown fields are skipped (`jetstream { strict: false }`, and our own stored texts)
};

struct StreamConfigRequest {
  StreamConfig config;
  bool pedantic = false;
};

/// Decodes the body of STREAM.CREATE and STREAM.UPDATE: a config plus `pedantic`.
/// Errors: kInvalidJSON (10025) with the reason. Absent limits become -1, absent replicas 1.
Decoded<StreamConfigRequest> decode_stream_config_request(std::string_view json,
                                                          Strictness strictness = Strictness::kStrict);
/// As above without `pedantic`; for texts that this program stored itself use kLenient.
Decoded<StreamConfig> decode_stream_config(std::string_view json,
                                           Strictness strictness = Strictness::kStrict);

/// The canonical text, with the fields that nats-server writes, in its order.
std::string encode_stream_config_json(const StreamConfig& config);

}  // namespace weir::api
