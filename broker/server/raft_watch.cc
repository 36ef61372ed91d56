#include "broker/server/raft_watch.h"

#include "broker/api/json_writer.h"
#include "broker/server/stream_host.h"

namespace weir::server {

namespace {
constexpr std::size_t kNotesMax = 4096;
constexpr Nanos kLookEvery = 100 * kMillisecond;
const std::string kPrefix = "$NRG.";

struct Kind {
  const char* subject;
  const char* text;
};

Kind kind_of(raft::MessageType type) {
  using T = raft::MessageType;
  switch (type) {
    case T::kPreVote: return {"V", "pre-vote"};
    case T::kPreVoteResp: return {"R", "pre-vote answer"};
    case T::kVote: return {"V", "vote"};
    case T::kVoteResp: return {"R", "vote answer"};
    case T::kAppend: return {"AE", "append"};
    case T::kAppendResp: return {"R", "append answer"};
    case T::kHeartbeat: return {"AE", "heartbeat"};
    case T::kHeartbeatResp: return {"R", "heartbeat answer"};
    case T::kSnapshot: return {"AE", "snapshot"};
    case T::kTimeoutNow: return {"AE", "transfer"};
    case T::kReadIndex: return {"P", "read"};
    case T::kReadIndexResp: return {"R", "read answer"};
    case T::kFetch: return {"AE", "fetch"};
    case T::kFetchResp: return {"R", "fetch answer"};
    case T::kHead: return {"AE", "head"};
    case T::kHeadResp: return {"R", "head answer"};
  }
  return {"AE", "?"};
}
}  // namespace

std::string RaftWatch::name_of(GroupId group) const {
  if (node_.jetstream) {
    if (const StreamHost* stream = node_.jetstream->find(group)) return stream->group_name();
  }
  return group == jetstream::kMetaGroup ? "_meta_" : std::to_string(group.v);
}

void RaftWatch::note_raft(GroupId group, const raft::Message& message, std::size_t bytes) {
  Kind kind = kind_of(message.type);
  note(group, kind.subject, kind.text, message.to, bytes);
}

void RaftWatch::note(GroupId group, const char* kind, const char* what, NodeId to, std::size_t bytes) {
  if (notes_.size() >= kNotesMax) return;
  Note n;
  n.subject = kPrefix + kind + "." + name_of(group);
  api::JsonWriter w(n.body);
  w.begin_object();
  w.field("what", what);
  w.field("from", node_.name);
  const auto* peer = node_.mesh ? node_.mesh->peer(node_of(to)) : nullptr;
  w.field("to", peer ? peer->name : std::string("?"));
  w.field("bytes", static_cast<std::uint64_t>(bytes));
  w.end_object();
  notes_.push_back(std::move(n));
}

void RaftWatch::tell() {
  Account* system = node_.system_account();
  if (!system) return;
  for (const Note& n : std::exchange(notes_, {}))
    node_.router.send(*system, n.subject, {}, std::string_view(n.body));
  if (Mono now = node_.env.clock.now(); now >= look_again_) {
    look_again_ = now + kLookEvery;
    watched_ = false;
    for (const char* kind : {"V", "AE", "R", "P"})
      watched_ = watched_ || system->sublist.has_interest(kPrefix + kind + ".any");
  }
}

}  // namespace weir::server
