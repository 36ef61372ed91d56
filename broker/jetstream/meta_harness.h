// broker/jetstream/meta_harness.h - one meta state and its commands, for tests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/jetstream/meta_state.h"

namespace weir::jetstream::testing {

/// Node `n` of a test: NodeId without incarnation.
constexpr NodeId node(std::uint64_t n) {
  return NodeId(n << kIncarnationBits);
}

inline api::StreamConfig stream(const std::string& name, std::vector<std::string> subjects) {
  api::StreamConfig c;
  c.name = name;
  c.subjects = std::move(subjects);
  return c;
}

struct Meta {
  std::unique_ptr<MetaState> state = std::make_unique<MetaState>();
  MetaOutcome out;
  std::uint64_t index = 0;

  std::string run(EntryBuilder& b) {
    auto reader = EntryReader::open(b.finish(Wall{1000}));
    EXPECT_TRUE(reader.has_value());
    Command c;
    while (reader->next(c)) {
      Status s = state->apply(c, RaftIndex(++index), reader->log_time(), out);
      EXPECT_TRUE(s.has_value());
    }
    if (!out.ok())
      return std::to_string(static_cast<unsigned>(out.error.err_code)) + " " + out.error.description;
    switch (out.change) {
      case MetaChange::kNone: return "nothing";
      case MetaChange::kCreated: return "created " + std::to_string(out.stream.group.v);
      case MetaChange::kExisting: return "existing " + std::to_string(out.stream.group.v);
      case MetaChange::kUpdated: return "updated" + groups();
      case MetaChange::kDeleted: return "deleted " + std::to_string(out.stream.group.v);
      case MetaChange::kNodeChanged: return "node" + groups();
      case MetaChange::kPeersChanged: return "peers" + groups();
      case MetaChange::kReset: return "reset " + std::to_string(out.stream.group.v) + " was" + groups();
    }
    return "?";
  }
  std::string groups() const {
    std::string text;
    for (GroupId group : out.groups) text += " " + std::to_string(group.v);
    return text;
  }
  std::string create(const std::string& account, const api::StreamConfig& c, std::uint64_t max_streams = 0,
                     std::vector<NodeId> nodes = {node(1), node(2), node(3)}) {
    EntryBuilder b;
    std::string json = api::encode_stream_config_json(c);
    MetaStreamCommand m;
    m.account = account;
    m.name = c.name;
    m.max_streams = max_streams;
    m.nodes = std::move(nodes);
    m.config_json = json;
    b.meta_create_stream(m);
    return run(b);
  }
  std::string update(const std::string& account, const api::StreamConfig& c, std::vector<NodeId> nodes = {},
                     NodeId preferred = NodeId(0)) {
    EntryBuilder b;
    std::string json = api::encode_stream_config_json(c);
    MetaStreamCommand m;
    m.account = account;
    m.name = c.name;
    m.nodes = std::move(nodes);
    m.preferred = preferred;
    m.config_json = json;
    b.meta_update_stream(m);
    return run(b);
  }
  std::string remove(const std::string& account, const std::string& name) {
    EntryBuilder b;
    b.meta_delete_stream(account, name);
    return run(b);
  }
  std::string add_node(NodeId id, const std::string& name, NodeId replaces = NodeId(0), bool rejoin = false,
                       std::vector<std::string_view> tags = {}) {
    EntryBuilder b;
    MetaNodeCommand m;
    m.id = id;
    m.name = name;
    m.cluster = "C";
    m.replaces = replaces;
    m.rejoin = rejoin;
    m.tags = std::move(tags);
    b.meta_register_node(m);
    return run(b);
  }
  std::string remove_node(NodeId id) {
    EntryBuilder b;
    b.meta_remove_node(id);
    return run(b);
  }
  /// `expected` 0: the revision that is in force.
  std::string set_peers(GroupId group, std::vector<NodeId> nodes, std::uint64_t expected = 0,
                        NodeId preferred = NodeId(0)) {
    EntryBuilder b;
    b.meta_set_peers({group, expected != 0 ? expected : peers_revision(group), std::move(nodes), preferred});
    return run(b);
  }
  std::string reset(GroupId group, std::vector<NodeId> nodes = {}, std::uint64_t expected = 0) {
    EntryBuilder b;
    b.meta_reset_stream({group, expected != 0 ? expected : peers_revision(group), std::move(nodes), {}});
    return run(b);
  }
  std::string release(GroupId group, std::uint64_t expected = 0) {
    EntryBuilder b;
    b.meta_release_peers({group, expected != 0 ? expected : peers_revision(group), {}, {}});
    return run(b);
  }
  std::string renew(GroupId group, NodeId replica, std::uint64_t boot = 0, std::uint64_t expected = 0) {
    EntryBuilder b;
    b.meta_renew_replicas({group, replica, boot, expected});
    return run(b);
  }
  std::uint64_t peers_revision(GroupId group) const {
    const MetaStream* s = state->find(group);
    return s == nullptr ? 0 : s->peers_revision;
  }
  std::vector<NodeId> peers(GroupId group) const {
    const MetaStream* s = state->find(group);
    return s == nullptr ? std::vector<NodeId>() : s->peers;
  }
};

}  // namespace weir::jetstream::testing
