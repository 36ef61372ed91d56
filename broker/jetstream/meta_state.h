// broker/jetstream/meta_state.h - the meta group's state machine: which streams exist, and where.
//
// Room:     pure. It knows desired configurations and placement, not consumers and not messages.
// Thread:   one shard. Owner: cluster's meta group.
// Promise:  same commands = same state, outcomes and hash() on every node.
// Format:   snapshot docs/formats/meta-state.md; commands docs/formats/entry.md (64 to 66).
// Errors:   a client's error is MetaOutcome::error; a Status error stops the group (P6).
// Invariant: subjects of the streams of one account never overlap; group ids are never reused.
//           Checked by meta_state_test.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/api/stream_config.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/jetstream/command.h"

namespace weir::jetstream {

constexpr GroupId kMetaGroup{1};

struct MetaStream {
  std::string account;
  GroupId group;
  Wall created;
  std::uint64_t revision = 0;      // MetaState::revision() of its last change
  std::vector<std::string> peers;  // node names that hold it, in the order of the placement
  api::StreamConfig config;
};

enum class MetaChange : std::uint8_t { kNone, kCreated, kExisting, kUpdated, kDeleted };

struct MetaOutcome {
  api::ApiError error;  // kNone: success
  MetaChange change = MetaChange::kNone;
  MetaStream stream;  // as it is now; kDeleted: as it was

  bool ok() const { return error.err_code == api::ErrCode::kNone; }
};

class MetaState {
 public:
  /// Applies one command of entry `index`. Outcomes: 10058 name in use with another configuration,
  /// 10065 subjects overlap, 10027 too many streams, 10059 not found, 10052 a change that is not
  /// allowed, 10025 a configuration that cannot be read.
  Status apply(const Command& command, RaftIndex index, Wall log_time, MetaOutcome& out);

  /// nullptr if there is none. Valid until the next apply() or restore().
  const MetaStream* find(std::string_view account, std::string_view name) const;
  const MetaStream* find(GroupId group) const;
  /// Streams of an account by name, until `visit` returns false.
  void for_each(std::string_view account, const std::function<bool(const MetaStream&)>& visit) const;
  /// All streams by account and name.
  void for_each(const std::function<bool(const MetaStream&)>& visit) const;
  std::size_t count(std::string_view account) const;
  std::size_t count() const { return by_group_.size(); }

  std::uint64_t revision() const { return revision_; }
  std::uint64_t hash() const { return hash_; }

  /// Appends the whole state.
  void encode(std::string& out) const;
  /// Replaces this state. Errors: kCorrupt, kUnsupported; the state is then unchanged.
  Status restore(std::string_view bytes);

 private:
  struct Account {
    std::map<std::string, MetaStream, std::less<>> streams;
    // First token of a subject -> (subject, stream name). Keeps the overlap check short.
    std::multimap<std::string, std::pair<std::string, std::string>, std::less<>> subjects;
  };
  using Decoded = api::Decoded<api::StreamConfig>;

  Status create(const MetaStreamCommand& c, Wall log_time, MetaOutcome& out);
  Status update(const MetaStreamCommand& c, MetaOutcome& out);
  Status remove(const MetaStreamCommand& c, MetaOutcome& out);
  MetaStream* find_mutable(std::string_view account, std::string_view name);
  /// True if `subjects` overlap with those of a stream of the account other than `name`.
  bool overlaps(std::string_view account, std::string_view name,
                const std::vector<std::string>& subjects) const;
  void insert(MetaStream stream);
  void index_subjects(Account& account, const MetaStream& stream);
  void unindex_subjects(Account& account, const MetaStream& stream);
  void mix(std::string_view bytes);

  std::map<std::string, Account, std::less<>> accounts_;
  std::map<GroupId, MetaStream*> by_group_;  // views accounts_; map nodes do not move
  std::uint64_t revision_ = 0;
  GroupId next_group_{2};
  std::uint64_t hash_ = 0x9e3779b97f4a7c15u;
};

}  // namespace weir::jetstream
