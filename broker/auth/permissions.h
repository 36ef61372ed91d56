// broker/auth/permissions.h - what a user may publish and subscribe to.
//
// Room:    pure. Permissions are immutable after construction and may be shared by connections;
//          PublishGate is one connection's view with a cache.
// Rules:   deny wins over allow; an allow list denies the rest; no list allows all. An entry
//          "subject queue" speaks of queue subscriptions only. A subscription that a deny entry
//          covers is refused; one that merely overlaps a deny is accepted and its messages are
//          filtered (features "Publish/subscribe permissions", "Deny wildcard filtering").
//          A subscription is allowed only if an allow entry covers all of it.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/base/time.h"
#include "broker/config/options.h"

namespace weir::auth {

enum class SubscribeVerdict : unsigned char {
  kDenied,
  kAllowed,
  kFiltered,  // accept, but ask may_deliver() for every message
};

class Permissions {
 public:
  explicit Permissions(const config::PermissionsConfig& config);

  /// `subject` is a literal. Cost: linear in the entries; connections ask through PublishGate.
  bool can_publish(std::string_view subject) const;
  /// `subject` may hold wildcards; `queue` empty = no queue group.
  SubscribeVerdict can_subscribe(std::string_view subject, std::string_view queue) const;
  /// For kFiltered subscriptions: may a message on this literal subject reach them?
  bool may_deliver(std::string_view subject, std::string_view queue) const;
  /// Present: may also publish to reply subjects of messages received; see ReplyRights.
  const std::optional<config::AllowResponses>& responses() const { return responses_; }

 private:
  struct Entry {
    std::string subject;
    std::string queue;  // pattern; empty = plain entry
  };
  static std::vector<Entry> entries(const std::vector<std::string>& list);
  bool allowed(std::string_view subject, std::string_view queue) const;

  std::optional<std::vector<std::string>> publish_allow_;
  std::vector<std::string> publish_deny_;
  std::optional<std::vector<Entry>> subscribe_allow_;
  std::vector<Entry> subscribe_deny_;
  std::optional<config::AllowResponses> responses_;
};

/// One connection's publish check. Remembers the answers for the subjects it used.
/// Limits: kEntriesMax subjects; the cache is dropped when full.
class PublishGate {
 public:
  static constexpr std::size_t kEntriesMax = 256;

  /// Null = everything is allowed.
  explicit PublishGate(std::shared_ptr<const Permissions> permissions = nullptr)
      : permissions_(std::move(permissions)) {}

  bool can_publish(std::string_view subject);
  const std::shared_ptr<const Permissions>& permissions() const { return permissions_; }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  std::shared_ptr<const Permissions> permissions_;
  std::unordered_map<std::string, bool, Hash, std::equal_to<>> cache_;
};

/// The reply subjects that one connection may answer to, by allow_responses.
/// Limits: kRepliesMax subjects; expired ones go first, then the oldest expiry.
class ReplyRights {
 public:
  static constexpr std::size_t kRepliesMax = 4096;

  explicit ReplyRights(config::AllowResponses rule) : rule_(rule) {}

  /// A message with this reply subject was delivered to the connection.
  void received(std::string_view reply, Mono now);
  /// Uses up one publish; false = no right (never had, used up, expired).
  bool take(std::string_view subject, Mono now);
  std::size_t size() const { return rights_.size(); }

 private:
  struct Right {
    int left = 0;  // publishes; unused when rule_.max is negative
    Mono until;    // unused when rule_.expires is negative
  };
  void make_room(Mono now);

  config::AllowResponses rule_;
  std::unordered_map<std::string, Right> rights_;
};

}  // namespace weir::auth
