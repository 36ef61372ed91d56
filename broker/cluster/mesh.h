// broker/cluster/mesh.h - links to the other nodes of the cluster: who is there, and frames to them.
//
// Room:    shell over env::Transport. Thread: the shard. Owner: Node.
// Links:   one TCP connection per pair of nodes. Both sides may dial; of two connections one stays.
//          Addresses come from cluster.routes and from gossip; a node that went is dialled again.
// Frames:  docs/formats/peer-link.md. Within a lane frames arrive in order, once, or not at all: when a
//          link breaks what was under way is lost, and peer_down() says so before peer_up() comes again.
// Lanes:   in order of priority: what waits in an earlier lane leaves before what waits in a later one.
//          Interest therefore is never overtaken by the messages that need it.
// Limits:  lane_bytes_max per lane and peer; send() then returns false and nothing is queued. The owner
//          knows what that means for its frame (Raft sends again, a request fails, a message is lost).
// Flush:   send() queues; flush(), at the end of the turn, hands everything to the transport in one
//          gathering write per peer, no more than the transport takes without queueing much.
// Errors:  a frame that cannot be true ends the link with a log line that says what and from whom.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/unique_function.h"
#include "broker/config/options.h"
#include "broker/env/env.h"
#include "broker/proto/peer_body.h"

namespace weir::cluster {

using weir::kIncarnationBits;
using weir::kIncarnationMask;
using weir::node_of;
using weir::replica_id;

enum class Lane : std::uint8_t { kRaft, kInterest, kMessages, kRequests, kBulk };
constexpr std::size_t kLanes = 5;

/// What a frame's payload is. Below 16: the mesh's own.
enum class FrameKind : std::uint8_t {
  kRaft = 16,      // varint group, raft message (raft/codec.h)
  kInterest = 17,  // subscriptions that came or went (server/interest)
  kMessage = 18,   // a client's message for subscriptions of that node
  kToGroup = 19,   // a publish, ack or API request for the leader of a group
  kHints = 20,     // who leads which groups
  kFounding = 21,  // cluster/founding
  kState = 22,     // hashes of replicas' states (server/state_check)
};

/// Questions with one answer. Bodies are defined where they are handled.
enum class Method : std::uint16_t {
  kJoin = 2,          // a node asks to become a member
  kMetaPropose = 3,   // a meta command for the meta leader; the answer is its outcome
  kMetaState = 4,     // state of the meta group at an index
  kStreamState = 5,   // state of a stream group: see server/state_transfer
  kStreamInfo = 6,    // JSON info of streams led or held there
  kApi = 7,           // a JetStream API request, answered with its JSON
  kGroupMembers = 8,  // varint group; its leader answers with raft::encode_conf
  kUsage = 9,         // what an account stores and has there: server/cluster_asks
  kRenew = 11,        // a node gives up a replica of its own for a new one: server/renewals
  kLost = 12,         // a replica has no state and nobody to get one from: server/lost_streams
  kRoom = 13,         // how much a node may store and stores; nothing is answered: server/rooms
  kGroupsSafe = 10,   // which groups led there go on without the node that asks: server/cluster_asks
};

/// What one node tells the others of itself (proto/peer_body.h). Changes are told with Mesh::update_self().
using proto::NodeInfo;

class MeshEvents {
 public:
  virtual ~MeshEvents() = default;
  /// Frames may be sent from now on. Called before any frame of this link.
  virtual void peer_up(const NodeInfo& peer) = 0;
  virtual void peer_changed(const NodeInfo& peer) = 0;
  virtual void peer_down(NodeId peer) = 0;
  /// Silent for longer than the support interval although the link stands, or heard again. A link that
  /// comes up counts as alive, one that goes down as silent.
  virtual void peer_alive(NodeId peer, bool alive) = 0;
  /// `payload` may be kept.
  virtual void frame(NodeId from, FrameKind kind, const Bytes& payload) = 0;
};

struct LinkStats {  // for /routez
  NodeInfo peer;
  std::uint64_t rid = 0;
  std::string remote_ip;
  std::uint16_t remote_port = 0;
  bool solicited = false;
  bool configured = false;  // in cluster.routes
  Wall start;
  Mono last_heard;
  Nanos rtt = 0;
  std::uint64_t in_frames = 0, out_frames = 0, in_bytes = 0, out_bytes = 0;
  std::size_t pending_bytes = 0;
  std::uint64_t refused = 0;  // frames that a full lane did not take
};

struct MeshTuning {
  std::size_t lane_bytes_max[kLanes] = {64u << 20, 16u << 20, 64u << 20, 32u << 20, 16u << 20};
  std::size_t transport_bytes_max = 1u << 20;  // handed to the transport and not sent
  Nanos keepalive = 100 * kMillisecond;        // a frame at least that often
  Nanos support = 500 * kMillisecond;          // silence that shows as peer_alive(false)
  Nanos dead = 5 * kSecond;                    // silence that ends the link
  Nanos dial_timeout = kSecond;
  Nanos redial_min = 100 * kMillisecond, redial_max = 500 * kMillisecond;
};

class Mesh {
 public:
  using Answer = UniqueFunction<void(Result<Bytes>)>;
  /// To be called once, at any time; dropped calls answer "no answer".
  using Reply = UniqueFunction<void(Result<Bytes>)>;
  using Handler = std::function<void(NodeId from, const Bytes& body, Reply reply)>;

  virtual ~Mesh() = default;

  /// Binds the cluster port and starts to dial. Errors: kIo with the system's text.
  virtual Status start() = 0;
  /// Before start(): no link is made until release(). What a node tells of itself, and what it acknowledges,
  /// has to be on its disk.
  virtual void hold() = 0;
  virtual void release() = 0;
  /// Bound cluster endpoint; nullopt before start() or without a listener.
  virtual std::optional<env::Endpoint> endpoint() const = 0;
  /// Tells the peers that this node goes; links close afterwards. No event follows; questions without an
  /// answer fail in a later turn.
  virtual void stop() = 0;

  /// False: no link to `to`, or the lane is full. `to` may be a replica id.
  virtual bool send(NodeId to, Lane lane, FrameKind kind, std::vector<Bytes> payload) = 0;
  bool send(NodeId to, Lane lane, FrameKind kind, Bytes payload) {
    std::vector<Bytes> one;
    one.push_back(std::move(payload));
    return send(to, lane, kind, std::move(one));
  }
  /// Bytes that wait in a lane to `to`, those handed to the transport not counted; 0 without a link. With
  /// MeshTuning::lane_bytes_max it says how full the lane is.
  virtual std::size_t lane_bytes(NodeId to, Lane lane) const = 0;
  /// Asks `to`; `done` runs once, later: the answer, the handler's error, or kUnavailable when there is no
  /// link, the link broke or `timeout` passed.
  virtual void ask(NodeId to, Method method, std::vector<Bytes> body, Nanos timeout, Answer done,
                   Lane lane = Lane::kRequests) = 0;
  void ask(NodeId to, Method method, Bytes body, Nanos timeout, Answer done, Lane lane = Lane::kRequests) {
    std::vector<Bytes> one;
    one.push_back(std::move(body));
    ask(to, method, std::move(one), timeout, std::move(done), lane);
  }
  virtual void handle(Method method, Handler handler) = 0;
  /// A frame or body of `from` cannot be true: ends the link with a log line that says `why`, in a later
  /// turn. It is dialled again.
  virtual void refuse(NodeId from, std::string why) = 0;
  /// End of turn.
  virtual void flush() = 0;

  virtual void update_self(NodeInfo self) = 0;
  virtual const NodeInfo& self() const = 0;
  /// Peers with a link. nullptr: none to that node.
  virtual const NodeInfo* peer(NodeId id) const = 0;
  virtual std::vector<NodeInfo> peers() const = 0;
  virtual bool alive(NodeId id) const = 0;
  /// When something came from `id` last; nullopt without a link.
  virtual std::optional<Mono> last_heard(NodeId id) const = 0;
  virtual std::vector<LinkStats> links() const = 0;
  /// Nodes reached under the configured routes so far (this node too if a route leads to it), and how many
  /// routes led nowhere yet: who founds a cluster (ADR 4).
  struct Seeds {
    std::vector<NodeId> known;
    std::size_t unresolved = 0;
  };
  virtual Seeds seeds() const = 0;
};

/// `events` and `options` outlive the mesh. `options.cluster` is present and checked. Destroying it closes
/// all links at once; questions without an answer are forgotten. Not inside one of its own calls.
std::unique_ptr<Mesh> make_mesh(env::Env& env, const config::Options& options, NodeInfo self,
                                MeshEvents& events, MeshTuning tuning = {});

}  // namespace weir::cluster
