#include "broker/cluster/founding.h"

#include <algorithm>
#include <cstdio>

#include <gtest/gtest.h>

namespace weir::cluster {
namespace {

using Type = FoundingType;

NodeId id(std::uint64_t n) {
  return NodeId(n << kIncarnationBits);
}

FoundingSeeds seeds(std::vector<std::uint64_t> known, std::uint64_t unresolved = 0) {
  FoundingSeeds s;
  for (std::uint64_t n : known) s.known.push_back(id(n));
  s.unresolved = unresolved;
  return s;
}

Founding make(std::uint64_t n, FoundingState durable = {}) {
  return Founding({id(n), "n" + std::to_string(n)}, std::move(durable), n);
}

FoundingMessage message(Type type, Ballot ballot, FoundingSeeds s) {
  FoundingMessage m;
  m.type = type;
  m.ballot = ballot;
  m.seeds = std::move(s);
  m.name = "x";
  return m;
}

FoundingRecord record(const std::string& cluster, std::vector<std::uint64_t> members) {
  FoundingRecord r;
  r.cluster_id = cluster;
  for (std::uint64_t n : members) r.members.push_back({id(n), "n" + std::to_string(n)});
  return r;
}

std::string types(const Founding::Output& out) {
  std::string text = out.persist ? "!" : "";
  for (const auto& e : out.messages)
    text += " " + std::to_string(static_cast<int>(e.message.type)) + ">" +
            std::to_string(e.to.v >> kIncarnationBits);
  return text;
}

TEST(Founding, AloneItWaits) {
  Founding f = make(1);
  EXPECT_EQ(types(f.timer()), "") << "nothing is known of its seeds";
  f.set_seeds(seeds({1}));
  EXPECT_EQ(types(f.timer()), "") << "with an empty disk it cannot know whether there is a cluster";
  EXPECT_FALSE(f.born());
  EXPECT_EQ(types(f.peer_up(id(2))), " 1>2");
  EXPECT_EQ(types(f.timer()), "! 2>2");
  Ballot b = f.state().promised;
  f.step(id(2), message(Type::kPromise, b, seeds({1, 2})));
  f.step(id(2), message(Type::kAccepted, b, seeds({1, 2})));
  ASSERT_TRUE(f.born());
  EXPECT_EQ(f.born()->cluster_id.size(), 22u);
  EXPECT_TRUE(f.born()->has(replica_id(id(1), 5)));
  EXPECT_FALSE(f.born()->has(id(3)));
  EXPECT_EQ(types(f.timer()), "");
}

TEST(Founding, UnresolvedRoutesCount) {
  Founding f = make(1);
  f.set_seeds(seeds({1}, 2));
  EXPECT_EQ(types(f.timer()), "") << "one of three";
  f.set_seeds(seeds({1, 2}, 1));
  EXPECT_EQ(types(f.peer_up(id(2))), " 1>2");
  EXPECT_EQ(types(f.timer()), "! 2>2");
  Ballot b = f.state().promised;
  EXPECT_EQ(types(f.step(id(2), message(Type::kPromise, b, seeds({1, 2}, 1)))), "! 4>2");
  auto out = f.step(id(2), message(Type::kAccepted, b, seeds({1, 2}, 1)));
  EXPECT_EQ(types(out), "! 7>2");
  ASSERT_TRUE(f.born());
  EXPECT_EQ(f.born()->members.size(), 2u);
  EXPECT_EQ(f.born()->members[1].name, "x");
  EXPECT_EQ(out.messages[0].message.value, f.born());
}

TEST(Founding, SeedsOfThoseAskedCountToo) {
  Founding f = make(1);
  f.set_seeds(seeds({1, 2}));
  f.peer_up(id(2));
  f.timer();
  Ballot b = f.state().promised;
  EXPECT_EQ(types(f.step(id(2), message(Type::kPromise, b, seeds({2, 3, 4})))), "")
      << "2 wants a majority of 2, 3 and 4";
  EXPECT_EQ(types(f.timer()), "! 2>2") << "another round";
  EXPECT_GT(f.state().promised, b);
  b = f.state().promised;
  EXPECT_EQ(types(f.step(id(2), message(Type::kPromise, b, seeds({1, 3})))), "")
      << "it does not count itself";
  EXPECT_EQ(types(f.step(id(2), message(Type::kPromise, b, seeds({1, 2})))), "! 4>2");
}

TEST(Founding, SeedsOfBystandersCountInTheUnion) {
  Founding f = make(1);
  f.set_seeds(seeds({1, 2}));
  f.peer_up(id(2));
  f.peer_up(id(5));
  f.step(id(5), message(Type::kHello, {}, seeds({3, 4, 5})));
  f.timer();
  Ballot b = f.state().promised;
  f.step(id(2), message(Type::kPromise, b, seeds({1, 2})));
  EXPECT_EQ(types(f.timer()).substr(0, 3), "! 2") << "two of five is no quorum: the next round";
  f.peer_down(id(5));
  b = f.state().promised;
  EXPECT_EQ(types(f.step(id(2), message(Type::kPromise, b, seeds({1, 2})))), "! 4>2");
}

TEST(Founding, WaitsForStragglersUntilTheTimer) {
  Founding f = make(1);
  f.set_seeds(seeds({1, 2, 3}));
  f.peer_up(id(2));
  f.peer_up(id(3));
  f.timer();
  Ballot b = f.state().promised;
  EXPECT_EQ(types(f.step(id(2), message(Type::kPromise, b, seeds({1, 2, 3})))), "");
  auto out = f.timer();
  EXPECT_EQ(types(out), "! 4>2 4>3");
  EXPECT_EQ(out.messages[0].message.value->members.size(), 2u);
  EXPECT_EQ(types(f.step(id(3), message(Type::kAccepted, b, seeds({1, 2, 3})))), "! 7>2 7>3");
}

TEST(Founding, AcceptedValueIsFinishedNotReplaced) {
  Founding f = make(1);
  f.set_seeds(seeds({1, 2, 3}));
  f.peer_up(id(2));
  f.peer_up(id(3));
  f.timer();
  Ballot b = f.state().promised;
  auto promise = message(Type::kPromise, b, seeds({1, 2, 3}));
  promise.accepted = {1, id(3)};
  promise.value = record("old", {2, 3});
  auto out = f.step(id(2), promise);
  EXPECT_EQ(types(out), "! 4>2 4>3") << "no reason to wait";
  EXPECT_EQ(*out.messages[0].message.value, *promise.value);
}

TEST(Founding, OfSeveralAcceptedValuesTheLatestCounts) {
  for (std::uint64_t newer : {2u, 3u}) {
    Founding f = make(1);
    f.set_seeds(seeds({1, 2, 3, 4, 5}));
    f.peer_up(id(2));
    f.peer_up(id(3));
    f.timer();
    Founding::Output out;
    for (std::uint64_t n : {2u, 3u}) {
      auto promise = message(Type::kPromise, f.state().promised, seeds({1, 2, 3, 4, 5}));
      promise.accepted = {n == newer ? 7u : 6u, id(4)};
      promise.value = record(n == newer ? "newer" : "older", {n});
      out = f.step(id(n), promise);
    }
    ASSERT_EQ(types(out), "! 4>2 4>3");
    EXPECT_EQ(out.messages[0].message.value->cluster_id, "newer");
  }
}

TEST(Founding, AcceptorKeepsItsPromise) {
  Founding f = make(2);
  EXPECT_EQ(types(f.step(id(1), message(Type::kPrepare, {1, id(1)}, seeds({1, 2})))), "") << "not ready";
  f.set_seeds(seeds({1, 2, 3}));
  EXPECT_EQ(types(f.step(id(1), message(Type::kPrepare, {5, id(1)}, seeds({1, 2, 3})))), "! 3>1");
  EXPECT_EQ(types(f.step(id(1), message(Type::kPrepare, {5, id(1)}, seeds({1, 2, 3})))), " 3>1") << "again";
  EXPECT_EQ(types(f.step(id(3), message(Type::kPrepare, {4, id(3)}, seeds({1, 2, 3})))), " 6>3");
  EXPECT_EQ(types(f.step(id(1), message(Type::kPrepare, {9, id(3)}, seeds({1, 2, 3})))), "")
      << "a ballot of somebody else";
  auto accept = message(Type::kAccept, {4, id(3)}, seeds({1, 2, 3}));
  accept.value = record("c", {3});
  EXPECT_EQ(types(f.step(id(3), accept)), " 6>3");
  accept.ballot = {6, id(3)};
  EXPECT_EQ(types(f.step(id(3), accept)), "! 5>3");
  EXPECT_EQ(f.state().value, accept.value);
  EXPECT_EQ(f.state().promised, (Ballot{6, id(3)}));
  auto out = f.step(id(1), message(Type::kPrepare, {7, id(1)}, seeds({1, 2, 3})));
  EXPECT_EQ(out.messages[0].message.value, accept.value);
  EXPECT_EQ(out.messages[0].message.accepted, (Ballot{6, id(3)}));
  accept.value.reset();
  accept.ballot = {9, id(3)};
  EXPECT_EQ(types(f.step(id(3), accept)), "");
}

TEST(Founding, RefusedRoundGivesWayAndGoesHigher) {
  Founding f = make(1);
  f.set_seeds(seeds({1, 2}));
  f.peer_up(id(2));
  f.timer();
  auto refuse = message(Type::kRefuse, f.state().promised, seeds({1, 2}));
  refuse.accepted = {40, id(2)};
  f.step(id(2), refuse);
  EXPECT_EQ(types(f.timer()), " 1>2") << "the other's turn";
  EXPECT_EQ(types(f.timer()), "! 2>2");
  EXPECT_EQ(f.state().promised, (Ballot{41, id(1)}));
}

TEST(Founding, LaterLivesUseHigherBallots) {
  Founding f = make(1);
  f.set_seeds(seeds({1, 2}));
  f.peer_up(id(2));
  f.timer();
  Founding g = make(1, f.state());
  g.set_seeds(seeds({1, 2}));
  g.peer_up(id(2));
  g.timer();
  EXPECT_GT(g.state().promised, f.state().promised);
}

TEST(Founding, BornOnesOnlyTeach) {
  FoundingState state;
  state.born = record("c", {1, 2});
  Founding f = make(3, state);
  EXPECT_EQ(types(f.set_seeds(seeds({1, 3}))), "");
  EXPECT_EQ(types(f.peer_up(id(1))), "");
  EXPECT_EQ(types(f.timer()), "");
  for (Type type : {Type::kHello, Type::kPrepare, Type::kAccept}) {
    auto out = f.step(id(1), message(type, {1, id(1)}, seeds({1})));
    EXPECT_EQ(types(out), " 7>1");
    EXPECT_EQ(out.messages[0].message.value, state.born);
  }
  EXPECT_EQ(types(f.step(id(1), message(Type::kPromise, {1, id(3)}, seeds({1})))), "");
  auto other = message(Type::kLearn, {}, {});
  other.value = record("d", {9});
  EXPECT_EQ(types(f.step(id(9), other)), "");
  EXPECT_EQ(f.born(), state.born) << "for good";
  Founding g = make(4);
  EXPECT_EQ(types(g.step(id(9), other)), "!") << "also before it knows its seeds";
  EXPECT_EQ(g.born(), other.value);
}

TEST(Founding, DelaysGrowAndDiffer) {
  Founding f = make(1);
  f.set_seeds(seeds({1, 2}));
  f.peer_up(id(2));
  std::set<Nanos> seen;
  for (int i = 0; i < 20; ++i) seen.insert(f.delay());
  EXPECT_GT(seen.size(), 10u);
  EXPECT_GE(*seen.begin(), 100 * kMillisecond);
  EXPECT_LT(*seen.rbegin(), 300 * kMillisecond);
  for (int i = 0; i < 20; ++i) f.timer();
  EXPECT_GE(f.delay(), 1600 * kMillisecond);
  EXPECT_LT(f.delay(), 4800 * kMillisecond);
}

std::string hex(std::string_view bytes) {
  std::string out;
  for (char c : bytes) {
    char pair[3];
    std::snprintf(pair, sizeof pair, "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    out += pair;
  }
  return out;
}

FoundingMessage full_message() {
  FoundingMessage m = message(Type::kPromise, {300, id(1)}, seeds({1, 2}, 3));
  m.accepted = {2, id(2)};
  m.name = "n1";
  m.value = record("c", {1, 2});
  return m;
}

FoundingState full_state() {
  FoundingState s;
  s.promised = {3, id(1)};
  s.accepted = {2, id(2)};
  s.value = record("c", {2});
  s.born = record("d", {1});
  return s;
}

TEST(FoundingCodec, Golden) {
  EXPECT_EQ(hex(encode_founding(full_message()).text()),
            "01"
            "03"
            "ac02"
            "0000000100000000"
            "02"
            "0000000200000000"
            "026e31"
            "02"
            "0000000100000000"
            "0000000200000000"
            "03"
            "01"
            "0163"
            "02"
            "0000000100000000"
            "026e31"
            "0000000200000000"
            "026e32");
  EXPECT_EQ(hex(encode_founding_state(full_state())),
            "01"
            "03"
            "0000000100000000"
            "02"
            "0000000200000000"
            "01"
            "0163"
            "01"
            "0000000200000000"
            "026e32"
            "01"
            "0164"
            "01"
            "0000000100000000"
            "026e31");
}

TEST(Founding, ASecondValueOfOneBallotIsNotBelieved) {
  Founding f = make(1);
  f.set_seeds(seeds({1, 2}));
  f.peer_up(id(2));
  auto accept = message(Type::kAccept, {3, id(2)}, seeds({1, 2}));
  accept.value = record("one", {1, 2});
  EXPECT_EQ(types(f.step(id(2), accept)), "! 5>2");
  EXPECT_EQ(types(f.step(id(2), accept)), " 5>2") << "the same again is answered again";
  accept.value = record("two", {1, 2});
  EXPECT_EQ(types(f.step(id(2), accept)), "");
  EXPECT_EQ(f.state().value->cluster_id, "one");
}

// The founders are the meta group's first voters, and a group has so many at most.
TEST(Founding, OfManyNodesSomeFoundAndTheOthersJoin) {
  std::vector<std::uint64_t> all;
  for (std::uint64_t n = 1; n <= 20; ++n) all.push_back(n);
  Founding f = make(1);
  f.set_seeds(seeds(all));
  for (std::uint64_t n = 2; n <= 20; ++n) f.peer_up(id(n));
  f.timer();
  Ballot b = f.state().promised;
  for (std::uint64_t n = 2; n <= 20; ++n) f.step(id(n), message(Type::kPromise, b, seeds(all)));
  ASSERT_TRUE(f.state().value);
  EXPECT_EQ(f.state().value->members.size(), raft::kVotersMax);
}

TEST(FoundingCodec, MoreFoundersThanVotersAreRefused) {
  std::vector<std::uint64_t> members;
  for (std::uint64_t n = 1; n <= raft::kVotersMax; ++n) members.push_back(n);
  FoundingMessage m = message(Type::kLearn, {}, seeds({2}));
  m.value = record("c", members);
  EXPECT_TRUE(decode_founding(encode_founding(m).span()).has_value());
  FoundingState state;
  state.born = m.value;
  EXPECT_TRUE(decode_founding_state(encode_founding_state(state)).has_value());
  members.push_back(raft::kVotersMax + 1);
  m.value = state.born = record("c", members);
  EXPECT_FALSE(decode_founding(encode_founding(m).span()).has_value());
  EXPECT_FALSE(decode_founding_state(encode_founding_state(state)).has_value());
}

TEST(FoundingCodec, ComesBackAndDamageIsRefused) {
  Bytes bytes = encode_founding(full_message());
  EXPECT_EQ(*decode_founding(bytes.span()), full_message());
  std::string state = encode_founding_state(full_state());
  EXPECT_EQ(*decode_founding_state(state), full_state());
  EXPECT_EQ(*decode_founding_state(encode_founding_state({})), FoundingState());
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(decode_founding(bytes.span().first(n)).has_value()) << n;
  for (std::size_t n = 0; n < state.size(); ++n)
    EXPECT_FALSE(decode_founding_state(std::string_view(state).substr(0, n)).has_value()) << n;
  EXPECT_FALSE(decode_founding_state(state + "x").has_value());
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad(bytes.text());
      bad[n] = static_cast<char>(bad[n] ^ (1 << bit));
      (void)decode_founding(as_span(bad));
    }
  }
  auto refused = [](FoundingMessage m) { return !decode_founding(encode_founding(m).span()).has_value(); };
  FoundingMessage m = full_message();
  m.ballot.round = std::uint64_t{1} << 48;
  EXPECT_TRUE(refused(m));
  m = full_message();
  m.ballot.node = replica_id(id(1), 1);
  EXPECT_TRUE(refused(m));
  m = full_message();
  std::swap(m.seeds.known[0], m.seeds.known[1]);
  EXPECT_TRUE(refused(m));
  m = full_message();
  m.value->members.clear();
  EXPECT_TRUE(refused(m));
  m = full_message();
  m.type = static_cast<Type>(8);
  EXPECT_TRUE(refused(m));
  FoundingState s = full_state();
  s.promised = {1, id(1)};
  EXPECT_EQ(decode_founding_state(encode_founding_state(s)).error().code, Code::kCorrupt);
  s = full_state();
  s.value.reset();
  EXPECT_FALSE(decode_founding_state(encode_founding_state(s)).has_value());
  state[0] = 2;
  EXPECT_EQ(decode_founding_state(state).error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace weir::cluster
