// broker/jetstream/command.h - what a raft entry of a stream or of the meta group says, in bytes.
//
// Room:    pure coding; what a command does is StreamMachine's and MetaState's.
// Format:  docs/formats/entry.md, version kEntryVersion.
// Thread:  the shard's (slices share an uncounted-atomic block).
// Cost:    a publish is copied once, from the session's buffer into the entry; readers never copy.
// Errors:  decoding trusts nothing: kInvalid with the place; nothing of a bad entry may be applied.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"

namespace weir::jetstream {

constexpr std::uint8_t kEntryVersion = 1;
constexpr std::size_t kEntryHeaderBytes = 13;

enum class CommandType : std::uint8_t {
  kPublish = 1,
  kDeleteMsg = 2,
  kPurge = 3,
  kUpdateStream = 4,
  kCreateConsumer = 5,
  kDeleteConsumer = 6,
  kConsumerProgress = 7,
  kTick = 8,
  kMetaCreateStream = 64,
  kMetaUpdateStream = 65,
  kMetaDeleteStream = 66,
  kMetaRegisterNode = 67,
  kMetaRemoveNode = 68,
  kMetaSetPeers = 69,
  kMetaRenewReplicas = 70,
  kMetaResetStream = 71,
  kMetaReleasePeers = 72,
};

/// How CONSUMER.CREATE wants an existing or a missing consumer treated.
enum class ConsumerAction : std::uint8_t { kCreateOrUpdate = 0, kCreate = 1, kUpdate = 2 };

// Decoded commands. Views point into the entry (reading) or into the caller's memory (building).
struct PublishCommand {
  std::string_view subject;  // literal, after the stream's subject transform; never empty
  std::string_view headers;  // whole block with the version line and final blank line, or empty
  std::string_view payload;
  Bytes record;  // the three above as one slice; set by decode only
};
struct DeleteMsgCommand {
  StreamSeq seq;
  bool no_erase = false;
};
struct PurgeCommand {
  StreamSeq seq;  // 0 = not given; otherwise messages below it go
  std::uint64_t keep = 0;
  std::string_view filter;
};
struct UpdateStreamCommand {
  std::uint64_t revision = 0;  // of the meta state; an older or equal one changes nothing
  std::string_view config_json;
};
struct CreateConsumerCommand {
  ConsumerAction action = ConsumerAction::kCreateOrUpdate;
  Wall created;  // 0 = log time of the entry; set when restoring a backup
  std::string_view name;
  std::string_view config_json;
};
struct ConsumerProgressCommand {
  std::uint32_t consumer_id = 0;
  std::string_view body;  // progress.h
};

// Commands of the meta group (meta_command.cc). A node is named by its id, without incarnation; which
// replica ids come of it is decided by MetaState, when the command is applied.
constexpr std::size_t kPeersMax = 15;  // of one stream, as raft::kVotersMax
constexpr std::size_t kTagsMax = 256;  // of one node

struct MetaStreamCommand {
  std::string_view account;
  std::string_view name;
  Wall created;                   // create only; 0 = log time of the entry
  std::uint64_t max_streams = 0;  // create only: the account's limit as the leader knows it; 0 = none
  std::vector<NodeId> nodes;      // in the order of the placement; update: empty = unchanged
  NodeId preferred;               // the one that should lead; 0 = any. Only with `nodes`
  std::string_view config_json;
};
struct MetaNodeCommand {
  NodeId id;
  NodeId replaces;  // the node that has the name so far, as the leader knows it; 0 = none
  std::string_view name, cluster, domain;
  std::vector<std::string_view> tags;
  bool jetstream = true;
  bool rejoin = false;  // the node may come back although an operator removed it
};
struct MetaPeersCommand {  // also kMetaResetStream, kMetaReleasePeers, which ignore `preferred`
  GroupId group;
  std::uint64_t expected = 0;  // MetaStream::peers_revision that the choice was made for
  std::vector<NodeId> nodes;   // reset: empty = the same nodes; release: empty
  NodeId preferred;
};
struct MetaRenewCommand {
  GroupId group;               // 0 = every replicated memory stream that has a replica on the node
  NodeId replica;              // group 0: the node; otherwise the replica id to give up
  std::uint64_t boot = 0;      // group 0: number of the node's start; done once for each
  std::uint64_t expected = 0;  // else: MetaStream::peers_revision that it was decided for; 0 = any
};

/// One command inside an entry, not decoded yet.
struct Command {
  CommandType type = CommandType::kTick;
  std::string_view body;
  const Bytes* entry = nullptr;  // the slice that `body` points into; lives as long as the reader
};

Result<PublishCommand> decode_publish(const Command& c);
Result<DeleteMsgCommand> decode_delete_msg(const Command& c);
Result<PurgeCommand> decode_purge(const Command& c);
Result<UpdateStreamCommand> decode_update_stream(const Command& c);
Result<CreateConsumerCommand> decode_create_consumer(const Command& c);
Result<std::string_view> decode_delete_consumer(const Command& c);
Result<ConsumerProgressCommand> decode_consumer_progress(const Command& c);
/// Of kMetaCreateStream, kMetaUpdateStream, kMetaDeleteStream.
Result<MetaStreamCommand> decode_meta_stream(const Command& c);
Result<MetaNodeCommand> decode_meta_register(const Command& c);
Result<NodeId> decode_meta_remove_node(const Command& c);
/// Of kMetaSetPeers, kMetaResetStream, kMetaReleasePeers.
Result<MetaPeersCommand> decode_meta_peers(const Command& c);
Result<MetaRenewCommand> decode_meta_renew(const Command& c);

/// Collects the commands of one loop turn. Reusable after finish().
class EntryBuilder {
 public:
  /// p.record is not used. Subject must not be empty (CHECK: the parser refuses that before).
  void publish(const PublishCommand& p);
  void delete_msg(const DeleteMsgCommand& c);
  void purge(const PurgeCommand& c);
  void update_stream(const UpdateStreamCommand& c);
  void create_consumer(const CreateConsumerCommand& c);
  void delete_consumer(std::string_view name);
  void consumer_progress(const ConsumerProgressCommand& c);
  void tick();
  void meta_create_stream(const MetaStreamCommand& c);
  void meta_update_stream(const MetaStreamCommand& c);
  void meta_delete_stream(std::string_view account, std::string_view name);
  void meta_register_node(const MetaNodeCommand& c);
  void meta_remove_node(NodeId node);
  void meta_set_peers(const MetaPeersCommand& c);
  void meta_renew_replicas(const MetaRenewCommand& c);
  void meta_reset_stream(const MetaPeersCommand& c);
  /// c.nodes is not used.
  void meta_release_peers(const MetaPeersCommand& c);

  bool empty() const { return count_ == 0; }
  std::uint32_t count() const { return count_; }
  /// Bytes so far; the owner closes the entry near limits::kEntryBytesMax.
  std::size_t size() const { return bytes_.size(); }

  /// The entry, stamped with `log_time`. At least one command must be there.
  Bytes finish(Wall log_time);

 private:
  void open();
  void begin(CommandType type, std::size_t body_size);
  void put(CommandType type, const BytesBuilder& body);
  void put_meta(CommandType type, const MetaStreamCommand& c);
  void put_peers(CommandType type, const MetaPeersCommand& c);

  BytesBuilder bytes_;
  std::uint32_t count_ = 0;
};

/// Walks an entry. Use:
///   ASSIGN_OR_RETURN(auto reader, EntryReader::open(bytes));
///   Command c;
///   while (reader.next(c)) ...
class EntryReader {
 public:
  /// Checks the frame of every command (not the bodies), so that next() cannot fail later.
  static Result<EntryReader> open(Bytes entry);

  Wall log_time() const { return log_time_; }
  std::uint32_t count() const { return count_; }
  /// False at the end. `out` is valid while this reader lives and is not moved.
  bool next(Command& out);

 private:
  Bytes entry_;
  Wall log_time_;
  std::uint32_t count_ = 0;
  std::size_t at_ = kEntryHeaderBytes;
};

}  // namespace weir::jetstream
