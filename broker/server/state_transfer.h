// broker/server/state_transfer.h - a replica that is behind the log gets the state of its stream.
//
// Room:    shell. Thread: the shard. Bytes: state_page.h.
// Way:     messages by sequence range, page after page, while the leader goes on; then the exact cut of that
//          moment: position, live sequences, state machine (state_cut.h), in parts. Everything goes into a
//          new generation of the store and counts from one catalog commit on (ADR 4). What is here already is
//          not sent: messages under one sequence are the same everywhere, so the new generation begins with
//          the segments of the one that is served, or with what an attempt that was interrupted left.
// Log:     the leader keeps what follows the state that it offered, so that a cut may take its time: it is of
//          that state or a later one.
// Limits:  kPageBytes and Tuning::state_part_bytes per page, one page under way, in the lane of lowest
//          priority; cuts that are given at a time: KeptCuts.
// Errors:  any failure ends the attempt; the group then asks again. What was there stays until the switch.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/cluster/mesh.h"
#include "broker/jetstream/stream_machine.h"
#include "broker/server/js_context.h"
#include "broker/server/state_page.h"
#include "broker/server/state_parts.h"
#include "broker/store/file_store.h"

namespace weir::server {

class JetStream;
class StreamHost;

/// Answers kStreamState, kMetaState and kGroupMembers.
class StateServer {
 public:
  StateServer(cluster::Mesh& mesh, JetStream& js);
  struct MembersAsked {
    GroupId group;
    NodeId leader;               // this node, or another one
    std::uint64_t revision = 0;  // of the wanted replicas, which the leader's log must have
  };
  /// raft::encode_conf of a group whose leader leads for sure and whose members are settled; a group that
  /// sleeps is woken. `done` is dropped with a group that is led here. Errors: kNotFound, kUnavailable.
  static void ask_members(JetStream& js, const MembersAsked& asked, cluster::Mesh::Reply done);
  /// The host of that stream is gone, and with it what was being given of it.
  void forget(GroupId group) { cuts_.drop(group); }

 private:
  static Result<Bytes> members(JetStream& js, GroupId group);
  static void members_here(JetStream& js, GroupId group, cluster::Mesh::Reply done);
  Result<Bytes> stream_state(NodeId asker, const Bytes& body);
  Result<Bytes> state_page(NodeId asker, const StateRequest& q, StreamHost& host);
  Status add_cut(NodeId asker, const StateRequest& q, StreamHost& host, StatePage& page);
  void watch_idle();
  void meta_state(cluster::Mesh::Reply reply);
  void group_members(const Bytes& body, cluster::Mesh::Reply reply);
  JetStream& js_;
  KeptCuts cuts_;
  bool watching_ = false;  // for cuts that nobody asks for any more
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

/// One attempt. Owner: StreamHost.
class StateFetch {
 public:
  struct Arrived {
    std::unique_ptr<store::MessageStore> store;
    store::FileStore* file = nullptr;
    StateCut cut;
    std::unique_ptr<jetstream::StreamMachine> machine;  // over `store`, with what the cut says
    std::uint64_t messages = 0;                         // that were sent
    std::uint64_t parts = 0;                            // in which the cut came
  };
  struct Stream {
    GroupId group;
    api::StreamConfig config;
    Wall created;
  };
  /// `done` runs once, in a later turn. What it gets can be used here: a state that this build cannot read is
  /// an error, like one that did not come whole.
  using Done = UniqueFunction<void(Result<Arrived>)>;

  StateFetch(JsContext& js, Stream stream, NodeId from, Done done);
  struct Files {
    store::FileStore::Options fresh;                  // what is in its way is discarded first
    std::optional<store::FileStore::Options> served;  // to begin with; not in a checkpoint
  };
  /// Fills a file store, or without `files` a memory store.
  void start(std::optional<Files> files);
  /// What an earlier attempt of this stream got, whoever it was from.
  struct Half {
    std::unique_ptr<store::MessageStore> store;
    store::FileStore* file = nullptr;
  };
  void go_on(Half half);
  /// When `done` had an error: what may be of use to the next attempt; no store if nothing is.
  Half take_half();

 private:
  void inherit(const Files& files);
  void open_and_ask(const store::FileStore::Options& file);
  void ask();
  void on_page(Result<Bytes> answer);
  bool speak_older(const Error& why);
  Status take_part(const StatePage& page);
  void page_stored();
  void finish(std::optional<StateCut> whole);
  void fail(Error why);

  JsContext& js_;
  const Stream stream_;
  const NodeId from_;
  Done done_;
  std::unique_ptr<store::MessageStore> store_;
  store::FileStore* file_ = nullptr;
  std::unique_ptr<Arrived> arrived_;  // not handed over yet
  CutParts parts_;
  std::uint64_t parts_came_ = 0;  // of this cut
  unsigned begun_anew_ = 0;       // cuts that the sender lost
  std::uint8_t format_ = kStateFormat;
  bool answered_ = false;       // in that format
  std::uint64_t messages_ = 0;  // that came
  bool sound_ = true;           // no page contradicted what is in the store
  std::shared_ptr<StateFetch*> self_;

 public:
  ~StateFetch() { *self_ = nullptr; }
};

}  // namespace weir::server
