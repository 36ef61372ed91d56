// broker/server/direct_batches.h - direct gets that are answered with many messages.
//
// Room:    shell. Thread: the shard. Owner: ApiServer, which runs them at the end of its turns.
// Flow:    a batch is a few messages per turn, in order, until it has what it asked for, nothing is left, or
//          its bytes are used up; then comes an end (204) that says how much is left. Each turn begins with a
//          look whether the stream can still be read here. The batches of all clients share the turn.
// Limits:  limits::kDirectMessagesPerTurn and kDirectBytesPerTurn, kDirectBatchesMax. Without max_bytes a
//          batch has max_pending bytes on the wire: by itself it makes no client a slow consumer.
// Pace:    while the lane to the node that a batch goes to is half full it waits, and ends early in the end:
//          what a full lane does not take would be missing in the middle.
// Errors:  a stream that cannot be read any more ends the batch with 500, without the end.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "broker/api/requests.h"
#include "broker/config/options.h"
#include "broker/server/jetstream.h"

namespace weir::server {

/// A stored message as a direct get shows it: headers first.
struct DirectMessage {
  std::string bytes;
  std::size_t header_size = 0;
};
/// `extra`: a header block whose fields follow those of the stream; may be empty.
DirectMessage direct_message(const StreamHost& stream, const store::Message& m, std::string_view extra,
                             bool no_hdr);

class DirectBatches {
 public:
  DirectBatches(env::Env& env, const config::Options& options, Router& router, JetStream& js)
      : env_(env), options_(options), router_(router), js_(js) {}
  ~DirectBatches() { env_.loop.cancel(timer_); }
  DirectBatches(const DirectBatches&) = delete;
  DirectBatches& operator=(const DirectBatches&) = delete;

  /// `q` is a batch or asks for the last of several subjects. Nothing is sent before run().
  void add(Account& account, std::string reply, GroupId stream, api::MsgGetRequest q);
  /// The part of this turn. True if more can be done in the next one.
  bool run();
  std::size_t size() const { return batches_.size(); }

 private:
  struct Batch {
    Account* account = nullptr;
    std::string reply;
    GroupId stream;
    api::MsgGetRequest q;
    bool begun = false;
    unsigned turns = 0;
    std::uint64_t most = 0;     // messages it may have
    std::uint64_t pending = 0;  // matching messages that are not sent
    std::uint64_t sent = 0;
    std::uint64_t last = 0;  // sequence of the last one sent
    std::int64_t bytes = 0;  // counted against its limit
    Mono held_since;         // the lane filled; 0 = it goes on
    // One after the other.
    store::Filter filter;
    StreamSeq from;
    // The last of several subjects.
    StreamSeq upto;
    std::vector<std::string> open;  // subjects whose last message at or below `upto` is to be looked for
    std::vector<StreamSeq> found;   // ascending once nothing is open
    std::size_t next = 0;           // of `found`
  };
  struct Budget {
    std::size_t messages, bytes;
    bool any() const { return messages > 0 && bytes > 0; }
    void take(std::size_t size) {
      --messages;
      bytes -= std::min(bytes, size);
    }
  };
  enum class Step : std::uint8_t { kGoOn, kLater, kOver };

  bool readable(const StreamHost& stream) const;
  Step step(Batch& b, Budget& left);
  Step begin(Batch& b, StreamHost& s);
  Step begin_multi(Batch& b, StreamHost& s);
  Step resolve(Batch& b, StreamHost& s, Budget& left);
  Step send_next(Batch& b, StreamHost& s, Budget& left);
  Result<std::optional<store::Message>> fetch(Batch& b, StreamHost& s);
  bool has_room(Batch& b, const store::Message& m, const DirectMessage& shown) const;
  Step end(Batch& b, StreamHost& s);
  Step fail(const Batch& b, int code, std::string_view text);

  env::Env& env_;
  const config::Options& options_;
  Router& router_;
  JetStream& js_;
  std::deque<Batch> batches_;  // those that had their part stand at the end
  env::TimerId timer_ = 0;
};

}  // namespace weir::server
