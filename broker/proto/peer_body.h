// broker/proto/peer_body.h - bodies of the frames that belong to a peer link itself.
//
// Room:    pure. docs/formats/peer-link.md is the same thing in words; peer_body_test.cc pins it with
//          golden bytes.
// Upgrades: a body is a list of fields (tag, length, bytes). Fields that a node does not know are skipped,
//          fields that are not there keep their default. Ask and answer have a small head of known length
//          for the same reason, then the body as it is.
// Trust:   a body comes from another machine. Decoders check limits; they return kInvalid and never
//          trip a CHECK. What a node makes of a field is the mesh's business.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"

namespace weir::proto {

/// Versions of the protocol that this build speaks.
constexpr std::uint32_t kPeerVersionMin = 1;
constexpr std::uint32_t kPeerVersionMax = 1;

/// What one node tells the others of itself.
struct NodeInfo {
  NodeId id;
  std::string server_id;  // "N..." of this process
  std::string name;
  std::string version;     // of Weir
  std::string cluster_id;  // of the founded cluster; empty while unborn
  std::uint64_t boot = 0;  // grows with each start of this store
  bool jetstream = false;
  std::string domain;
  std::vector<std::string> tags;
  std::vector<std::string> client_urls;  // "host:port" for connect_urls
  std::string route_url;                 // "host:port" that others may dial; "" = not to be told
  bool lame_duck = false;
  bool operator==(const NodeInfo&) const = default;
};
Bytes encode_info(const NodeInfo& info);
Result<NodeInfo> decode_info(ByteSpan body);

/// First frame of each side. How two nodes agree on one of several connections: peer-link.md "One link".
struct PeerHello {
  std::uint32_t version_min = kPeerVersionMin;
  std::uint32_t version_max = kPeerVersionMax;
  std::uint64_t features = 0;  // used are those that both have
  NodeInfo info;
  std::string cluster_name;
  std::string user, password;          // from the side that dialled
  std::uint64_t token = 0;             // names the connection; chosen at random by the side that dialled
  std::uint64_t stamp = 0;             // grows with each hello that this process sends
  std::vector<std::uint64_t> holds;    // tokens of the connections that the sender has, this one too
  std::optional<std::uint64_t> epoch;  // in an answer: this connection is the link, by that decision
};
Bytes encode_hello(const PeerHello& hello);
/// Errors: kInvalid, also when it does not begin with the magic bytes: no Weir node speaks there.
Result<PeerHello> decode_hello(ByteSpan body);

struct PeerReady {
  std::uint64_t epoch = 0;  // of the decision; a later one has a greater epoch
};
Bytes encode_ready(const PeerReady& ready);
Result<PeerReady> decode_ready(ByteSpan body);

enum class Refusal : std::uint8_t {
  kOther = 0,          // the text says it
  kAuthorization = 1,  // user or password
  kClusterName = 2,
  kClusterId = 3,
  kVersion = 4,
  kDuplicate = 5,  // there is a link already
  kSameId = 6,     // two stores with one id: one is a copy
  kSelf = 7,       // the route leads back to the dialling node
  kStopping = 8,
};
struct PeerRefuse {
  Refusal why = Refusal::kOther;
  std::string text;  // one line for the log
  NodeId node;       // who refuses; 0 when that is not told
};
Bytes encode_refuse(const PeerRefuse& refuse);
Result<PeerRefuse> decode_refuse(ByteSpan body);

struct PeerAddress {
  NodeId node;
  std::string url;  // "host:port"
  bool operator==(const PeerAddress&) const = default;
};
Bytes encode_gossip(const std::vector<PeerAddress>& addresses);
Result<std::vector<PeerAddress>> decode_gossip(ByteSpan body);

/// Ping and pong: the pong returns the ping's number.
Bytes encode_ping(std::uint64_t number);
Result<std::uint64_t> decode_ping(ByteSpan body);

struct AskHead {
  std::uint64_t id = 0;  // chosen by who asks
  std::uint16_t method = 0;
};
/// The body follows it in the frame.
Bytes encode_ask_head(const AskHead& head);
struct Ask {
  AskHead head;
  Bytes body;  // slice of the frame
};
Result<Ask> decode_ask(const Bytes& frame);

struct AnswerHead {
  std::uint64_t id = 0;
  std::optional<Error> error;  // no body follows
};
Bytes encode_answer_head(const AnswerHead& head);
struct Answer {
  AnswerHead head;
  Bytes body;  // slice of the frame
};
Result<Answer> decode_answer(const Bytes& frame);

}  // namespace weir::proto
