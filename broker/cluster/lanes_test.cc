#include "broker/cluster/lanes.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::cluster {
namespace {

constexpr std::size_t kLimits[kLanes] = {1000, 1000, 1000, 1000, 1000};

std::vector<Bytes> parts(std::initializer_list<std::size_t> sizes, char fill) {
  std::vector<Bytes> out;
  for (std::size_t n : sizes) out.push_back(Bytes::copy_of(std::string(n, fill)));
  return out;
}

struct Seen final : proto::PeerFrameEvents {
  bool on_frame(proto::PeerFrame f) override {
    text += std::to_string(f.kind) + "/" + std::to_string(f.lane) + "=" + std::to_string(f.payload.size());
    if (!f.payload.empty()) text += f.payload.text()[0];
    text += " ";
    return true;
  }
  std::string text;
};

TEST(Lanes, AnyBudgetGivesTheSameStreamOfWholeFrames) {
  for (std::size_t budget = 1; budget < 3'000; budget = budget < 40 ? budget + 1 : budget * 2) {
    Lanes lanes(kLimits);
    EXPECT_TRUE(lanes.add(Lane::kBulk, 20, parts({5, 0, 700, 3}, 'b')));
    EXPECT_TRUE(lanes.add(Lane::kRaft, 16, parts({513, 20}, 'r')));
    EXPECT_TRUE(lanes.add(Lane::kRaft, 16, parts({}, 'r')));
    lanes.add_own(proto::PeerKind::kBye, {});
    std::size_t all = lanes.pending(), taken = 0;
    proto::PeerFrameParser parser;
    Seen seen;
    while (lanes.pending() > 0) {
      std::size_t n = 0;
      for (const Bytes& b : lanes.take(budget)) {
        EXPECT_FALSE(b.empty());
        n += b.size();
        ASSERT_TRUE(parser.feed(b.span(), seen));
      }
      ASSERT_GT(n, 0u);
      ASSERT_LE(n, budget);
      taken += n;
    }
    EXPECT_EQ(taken, all);
    EXPECT_EQ(seen.text, "8/0=0 16/0=533r 16/0=0 20/4=708b ") << budget;
    EXPECT_EQ(lanes.frames_out(), 4u);
    EXPECT_FALSE(lanes.cut());
    for (std::size_t lane = 0; lane < kLanes; ++lane) EXPECT_EQ(lanes.bytes(static_cast<Lane>(lane)), 0u);
  }
}

TEST(Lanes, AFrameThatHasBegunIsFinishedFirst) {
  Lanes lanes(kLimits);
  EXPECT_TRUE(lanes.add(Lane::kBulk, 20, parts({900}, 'b')));
  proto::PeerFrameParser parser;
  Seen seen;
  auto take = [&](std::size_t budget) {
    for (const Bytes& b : lanes.take(budget)) ASSERT_TRUE(parser.feed(b.span(), seen));
  };
  take(4);  // a part of the header
  EXPECT_TRUE(lanes.cut());
  EXPECT_EQ(lanes.bytes(Lane::kBulk), 906u);
  lanes.add_own(proto::PeerKind::kPing, Bytes::copy_of("12345678"));
  EXPECT_TRUE(lanes.add(Lane::kRaft, 16, parts({1}, 'r')));
  EXPECT_TRUE(lanes.add(Lane::kBulk, 20, parts({50}, 'c')));
  EXPECT_FALSE(lanes.add(Lane::kBulk, 20, parts({50}, 'd'))) << "what is left of the first one counts";
  take(10'000);
  EXPECT_EQ(seen.text, "20/4=900b 4/0=81 16/0=1r 20/4=50c ");
}

TEST(Lanes, Limits) {
  Lanes lanes(kLimits);
  EXPECT_TRUE(lanes.add(Lane::kRaft, 16, parts({5'000}, 'x'))) << "alone, a large frame is taken";
  EXPECT_FALSE(lanes.add(Lane::kRaft, 16, parts({1}, 'x')));
  EXPECT_TRUE(lanes.add(Lane::kInterest, 17, parts({490}, 'x')));
  EXPECT_TRUE(lanes.add(Lane::kInterest, 17, parts({490}, 'x'))) << "1000 with headers";
  EXPECT_FALSE(lanes.add(Lane::kInterest, 17, parts({}, 'x')));
  std::vector<Bytes> huge(2, Bytes::copy_of(std::string(proto::kPeerPayloadMax / 2 + 1, 'x')));
  EXPECT_FALSE(lanes.add(Lane::kMessages, 18, huge));
  EXPECT_EQ(lanes.pending(), 5'010u + 1'000u);
}

TEST(Lanes, OfPingsAndPongsTheLastOneWaits) {
  Lanes lanes(kLimits);
  proto::PeerFrameParser parser;
  Seen seen;
  auto own = [&](proto::PeerKind kind, char fill) {
    lanes.add_own(kind, Bytes::copy_of(std::string(8, fill)));
  };
  auto take = [&](std::size_t budget) {
    for (const Bytes& b : lanes.take(budget)) ASSERT_TRUE(parser.feed(b.span(), seen));
  };
  own(proto::PeerKind::kPong, 'a');
  take(4);  // what has begun is finished
  own(proto::PeerKind::kGossip, 'g');
  own(proto::PeerKind::kPing, 'p');
  for (int i = 0; i < 1'000; ++i) own(proto::PeerKind::kPong, 'b');
  own(proto::PeerKind::kPong, 'c');
  own(proto::PeerKind::kGossip, 'h');
  EXPECT_EQ(lanes.pending(), 5 * (proto::kPeerHeaderBytes + 8) - 4);
  take(10'000);
  EXPECT_EQ(seen.text, "5/0=8a 6/0=8g 4/0=8p 5/0=8c 6/0=8h ");
  EXPECT_EQ(lanes.pending(), 0u);
}

TEST(Lanes, LargePartsAreNotCopied) {
  Lanes lanes(kLimits);
  Bytes large = Bytes::copy_of(std::string(800, 'x'));
  std::vector<Bytes> payload = {Bytes::copy_of("head"), large};
  EXPECT_TRUE(lanes.add(Lane::kRaft, 16, payload));
  auto out = lanes.take(10'000);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].size(), proto::kPeerHeaderBytes + 4);
  EXPECT_EQ(out[1].data(), large.data());
}

}  // namespace
}  // namespace weir::cluster
