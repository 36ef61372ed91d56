// What goes over the links of a mesh: frames in their lanes, questions and answers.
#include <gtest/gtest.h>

#include "broker/cluster/mesh_harness.h"

namespace weir::cluster {
namespace {

using testing::MeshPair;
using testing::node_id;

// ---- frames -----------------------------------------------------------------------------------

TEST(Mesh, FramesBothWays) {
  MeshPair w;
  w.up();
  EXPECT_TRUE(w[1].send(2, Lane::kMessages, "hello"));
  EXPECT_TRUE(w[1].send(2, Lane::kMessages, ""));
  EXPECT_TRUE(w[2].mesh->send(replica_id(node_id(1), 7), Lane::kRaft, FrameKind::kRaft, Bytes::copy_of("r")));
  EXPECT_FALSE(w[1].send(3, Lane::kMessages, "nobody"));
  EXPECT_FALSE(w[1].send(1, Lane::kMessages, "myself"));
  w[1].mesh->flush();
  w[2].mesh->flush();
  w.time.run_for(kSecond);
  EXPECT_EQ(w[2].frames, (std::vector<std::string>{"n2<n1:hello", "n2<n1:"}));
  EXPECT_EQ(w[1].frames, (std::vector<std::string>{"n1<n2:r"}));
}

TEST(Mesh, EarlierLanesGoFirst) {
  MeshPair w;
  w.up();
  for (Lane lane : {Lane::kBulk, Lane::kRequests, Lane::kMessages, Lane::kInterest, Lane::kRaft}) {
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(w[1].send(2, lane, std::to_string(static_cast<int>(lane)) + "." + std::to_string(i)));
    }
  }
  w[1].mesh->flush();
  w.time.run_for(kSecond);
  std::vector<std::string> want;
  for (int lane = 0; lane < 5; ++lane) {
    for (int i = 0; i < 2; ++i) want.push_back("n2<n1:" + std::to_string(lane) + "." + std::to_string(i));
  }
  EXPECT_EQ(w[2].frames, want);
}

TEST(Mesh, ALargeFrameIsNotCutAndOthersOvertakeWhatHasNotBegun) {
  MeshPair w;
  w.up();
  std::vector<std::string> order;
  w[2].on_frame = [&](unsigned, FrameKind, const Bytes& b) {
    order.push_back(b.size() > 100 ? "large" + std::string(b.text().substr(0, 1)) : std::string(b.text()));
  };
  std::string large(20u << 20, 'a');
  EXPECT_TRUE(w[1].send(2, Lane::kBulk, large)) << "larger than the lane, which is empty";
  EXPECT_FALSE(w[1].send(2, Lane::kBulk, "full")) << "now it is full";
  EXPECT_EQ(w[1].mesh->lane_bytes(node_id(2), Lane::kBulk), large.size() + 10);
  w[1].mesh->flush();
  EXPECT_LE(w[1].mesh->lane_bytes(node_id(2), Lane::kBulk), large.size() + 10 - (1u << 20) + 64);
  EXPECT_GT(w[1].mesh->lane_bytes(node_id(2), Lane::kBulk), large.size() - (2u << 20));
  EXPECT_TRUE(w[1].send(2, Lane::kMessages, std::string(2u << 20, 'b')));
  EXPECT_TRUE(w[1].send(2, Lane::kRaft, "raft"));
  w.time.run_for(kMinute);
  EXPECT_EQ(order, (std::vector<std::string>{"largea", "raft", "largeb"}));
  EXPECT_TRUE(w[1].linked(2) && w[2].linked(1)) << "bytes count as signs of life";
  EXPECT_EQ(w[1].mesh->links()[0].refused, 1u);
  EXPECT_EQ(w[1].ups[2], 1u);
}

TEST(Mesh, FullLanes) {
  MeshPair w;
  w[1].tuning.lane_bytes_max[static_cast<int>(Lane::kMessages)] = 1000;
  w.up();
  int taken = 0;
  while (w[1].send(2, Lane::kMessages, std::string(90, 'x'))) ++taken;
  EXPECT_EQ(taken, 10);
  EXPECT_TRUE(w[1].send(2, Lane::kInterest, "another lane"));
  w.time.run_for(kSecond);
  EXPECT_TRUE(w[1].send(2, Lane::kMessages, "again"));
  EXPECT_EQ(w[1].mesh->links()[0].refused, 1u);
  EXPECT_EQ(w[2].frames.size(), 11u);
}

TEST(Mesh, TransportHoldsNoMoreThanItsShare) {
  MeshPair w;
  w[1].tuning.transport_bytes_max = 10'000;
  w.up();
  w.net.partition(testing::host_of(1), testing::host_of(2));
  for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(w[1].send(2, Lane::kMessages, std::string(1'000, 'x')));
  for (int i = 0; i < 10; ++i) w[1].mesh->flush();
  auto link = w[1].mesh->links()[0];
  std::size_t waiting = w[1].mesh->lane_bytes(node_id(2), Lane::kMessages);
  EXPECT_LE(link.pending_bytes - waiting, 10'000u);
  EXPECT_GT(waiting, 800'000u);
  w.net.heal_all();
  w.time.run_for(10 * kSecond);
  EXPECT_EQ(w[2].frames.size(), 1'000u);
}

TEST(Mesh, UnknownKindsOfUsersAreHandedOn) {
  MeshPair w;
  w.up();
  FrameKind seen{};
  w[2].on_frame = [&](unsigned, FrameKind kind, const Bytes&) { seen = kind; };
  EXPECT_TRUE(w[1].mesh->send(node_id(2), Lane::kRaft, static_cast<FrameKind>(200), Bytes()));
  w[1].mesh->flush();
  w.time.run_for(kSecond);
  EXPECT_EQ(static_cast<int>(seen), 200);
}

TEST(Mesh, OwnerRefusesAFrame) {
  MeshPair w;
  w.up();
  w[2].on_frame = [&](unsigned, FrameKind, const Bytes&) {
    w[2].mesh->refuse(node_id(1), "raft message: unknown type");
    EXPECT_TRUE(w[2].linked(1)) << "not inside the call";
  };
  EXPECT_TRUE(w[1].send(2, Lane::kRaft, "bad"));
  w[1].mesh->flush();
  w.time.run_for(20 * kMillisecond);
  EXPECT_TRUE(w[2].log.contains("is down: raft message: unknown type"));
  EXPECT_TRUE(w.wait_full(2 * kSecond));
  EXPECT_EQ(w[2].ups[1], 2u);
}

TEST(Mesh, StatsOfALink) {
  MeshPair w;
  w.up();
  EXPECT_TRUE(w[1].send(2, Lane::kRaft, "x"));
  w.time.run_for(3 * kSecond);
  auto a = w[1].mesh->links().at(0), b = w[2].mesh->links().at(0);
  EXPECT_NE(a.solicited, b.solicited);
  EXPECT_TRUE(a.configured && b.configured);
  EXPECT_EQ(a.remote_ip, "10.0.0.2");
  EXPECT_GT(a.rid, 0u);
  EXPECT_GT(a.in_bytes, 0u);
  EXPECT_GT(a.out_frames, 0u);
  EXPECT_GT(a.rtt, 0);
  EXPECT_LT(a.rtt, 100 * kMillisecond);
  EXPECT_EQ(a.peer.name, "n2");
  EXPECT_EQ(a.peer.route_url, "10.0.0.2:6222");
  EXPECT_EQ(w[1].mesh->peers().size(), 1u);
}

// ---- questions --------------------------------------------------------------------------------

struct Told {
  Mesh::Answer hear() {
    return [this](Result<Bytes> r) {
      ++times;
      text = r ? std::string(r->text()) : r.error().to_string();
    };
  }
  int times = 0;
  std::string text;
};

TEST(Mesh, Questions) {
  MeshPair w;
  w[2].on_start = [&](Mesh& mesh) {
    mesh.handle(Method::kApi, [](NodeId from, const Bytes& body, Mesh::Reply reply) {
      reply(
          Bytes::copy_of(std::to_string(from.v >> kIncarnationBits) + " asked " + std::string(body.text())));
    });
    mesh.handle(Method::kJoin, [](NodeId, const Bytes&, Mesh::Reply reply) {
      reply(Error(Code::kNotFound, "no such thing"));
    });
    mesh.handle(Method::kMetaState, [](NodeId, const Bytes&, Mesh::Reply) {});
  };
  w.up();
  auto ask = [&](Method method, NodeId to = node_id(2)) {
    Told told;
    w[1].mesh->ask(to, method, {Bytes::copy_of("who"), Bytes::copy_of(" is it")}, kSecond, told.hear());
    EXPECT_EQ(told.times, 0) << "not inside the call";
    w.time.run_for(2 * kSecond);
    EXPECT_EQ(told.times, 1);
    return told.text;
  };
  EXPECT_EQ(ask(Method::kApi), "1 asked who is it");
  EXPECT_EQ(ask(Method::kJoin), "not found: no such thing");
  EXPECT_EQ(ask(Method::kMetaState), "unavailable: no answer");
  EXPECT_EQ(ask(Method::kStreamInfo), "unsupported: method 6 is not known to that node");
  EXPECT_EQ(ask(Method::kApi, node_id(3)), "unavailable: no link to that node");
  EXPECT_EQ(ask(Method::kApi, replica_id(node_id(2), 3)), "1 asked who is it");
}

TEST(Mesh, QuestionsThatNobodyAnswers) {
  MeshPair w;
  std::vector<Mesh::Reply> kept;
  w[2].on_start = [&](Mesh& mesh) {
    mesh.handle(Method::kApi,
                [&](NodeId, const Bytes&, Mesh::Reply reply) { kept.push_back(std::move(reply)); });
  };
  w.up();
  Told late, broken, stopped;
  w[1].mesh->ask(node_id(2), Method::kApi, Bytes(), kSecond, late.hear());
  w.time.run_for(999 * kMillisecond);
  EXPECT_EQ(late.times, 0);
  w.time.run_for(2 * kMillisecond);
  EXPECT_EQ(late.text, "unavailable: no answer in time");
  kept.at(0)(Bytes::copy_of("too late"));
  w.time.run_for(kSecond);
  EXPECT_EQ(late.times, 1);

  w[1].mesh->ask(node_id(2), Method::kApi, Bytes(), kMinute, broken.hear());
  w.time.run_for(kSecond);
  ASSERT_TRUE(w.net.reset_one(w[1].host));
  w.time.run_for(100 * kMillisecond);
  EXPECT_EQ(broken.text, "unavailable: the link broke");
  ASSERT_TRUE(w.wait_full());
  kept.at(1)(Bytes::copy_of("over a link that is no more"));

  w[1].mesh->ask(node_id(2), Method::kApi, Bytes(), kMinute, stopped.hear());
  w.time.run_for(kSecond);
  w[1].mesh->stop();
  EXPECT_EQ(stopped.times, 0);
  w.time.run_for(kSecond);
  EXPECT_EQ(stopped.text, "unavailable: this node stops");
  w[2].kill();
  kept.clear();  // replies outlive the mesh
}

TEST(Mesh, QuestionWhenTheLaneIsFull) {
  MeshPair w;
  w.up();
  EXPECT_TRUE(w[1].send(2, Lane::kRequests, std::string(32u << 20, 'x')));
  Told told;
  w[1].mesh->ask(node_id(2), Method::kApi, Bytes(), kSecond, told.hear());
  w.time.run_for(100 * kMillisecond);
  EXPECT_EQ(told.text, "unavailable: the lane to that node is full");
}

}  // namespace
}  // namespace weir::cluster
