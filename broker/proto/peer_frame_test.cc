#include "broker/proto/peer_frame.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "broker/base/prng.h"

namespace weir::proto {
namespace {

struct Recorder final : PeerFrameEvents {
  bool on_frame(PeerFrame f) override {
    got.push_back(std::to_string(f.kind) + "/" + std::to_string(f.lane) + ":" +
                  std::string(f.payload.text()));
    blocks.push_back(f.payload.block_size());
    return got.back() != stop_at;
  }
  std::vector<std::string> got;
  std::vector<std::size_t> blocks;
  std::string stop_at;
};

std::string frame(std::uint8_t kind, std::uint8_t lane, const std::vector<std::string>& parts) {
  std::vector<Bytes> slices;
  for (const auto& p : parts) slices.push_back(Bytes::copy_of(p));
  PeerHeader h = peer_header(kind, lane, slices);
  std::string out(as_text(h));
  for (const auto& p : parts) out += p;
  return out;
}

std::string hex(std::string_view s) {
  std::string out;
  for (std::uint8_t c : as_span(s)) {
    out += "0123456789abcdef"[c >> 4];
    out += "0123456789abcdef"[c & 15];
  }
  return out;
}

const std::vector<std::string> kFrames = {"16/0:raft", "4/1:", "255/15:x", "18/2:" + std::string(300, 'm')};
std::string transcript() {
  return frame(16, 0, {"ra", "", "ft"}) + frame(4, 1, {}) + frame(255, 15, {"x"}) +
         frame(18, 2, {std::string(300, 'm')});
}

TEST(PeerFrame, GoldenBytes) {
  EXPECT_EQ(hex(frame(16, 2, {"hello"})), "05000000100271fdea2368656c6c6f");
  EXPECT_EQ(hex(frame(4, 0, {})), "0000000004000e16ebbf");
}

TEST(PeerFrame, AnySplitGivesTheSameFrames) {
  std::string all = transcript();
  for (std::size_t a = 0; a <= all.size(); ++a) {
    PeerFrameParser p;
    Recorder r;
    EXPECT_TRUE(p.feed(as_span(std::string_view(all).substr(0, a)), r));
    EXPECT_TRUE(p.feed(as_span(std::string_view(all).substr(a)), r));
    ASSERT_EQ(r.got, kFrames) << a;
  }
}

TEST(PeerFrame, ByteByByte) {
  std::string all = transcript();
  PeerFrameParser p;
  Recorder r;
  for (char c : all) ASSERT_TRUE(p.feed(as_span(std::string_view(&c, 1)), r));
  EXPECT_EQ(r.got, kFrames);
  EXPECT_EQ(r.blocks, (std::vector<std::size_t>{4, 0, 1, 300})) << "one block of the right size each";
}

TEST(PeerFrame, RandomSplitsOfManyFrames) {
  Prng prng(7);
  std::string all;
  std::vector<std::string> want;
  for (int i = 0; i < 300; ++i) {
    std::string body(prng.below(prng.chance(1, 20) ? 70'000 : 200), static_cast<char>('a' + i % 26));
    all += frame(20, static_cast<std::uint8_t>(i % 16), {body});
    want.push_back("20/" + std::to_string(i % 16) + ":" + body);
  }
  for (int round = 0; round < 20; ++round) {
    PeerFrameParser p;
    Recorder r;
    for (std::size_t at = 0; at < all.size();) {
      std::size_t n = std::min<std::size_t>(all.size() - at, 1 + prng.below(9'000));
      ASSERT_TRUE(p.feed(as_span(std::string_view(all).substr(at, n)), r));
      at += n;
    }
    ASSERT_TRUE(r.got == want);
  }
}

TEST(PeerFrame, EveryFlippedBitIsNoticedOrOnlyMovesTheEnd) {
  // A flipped length may make the parser wait for more; nothing wrong is ever handed out.
  std::string good = frame(17, 1, {"some interest"});
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    PeerFrameParser p;
    Recorder r;
    (void)p.feed(as_span(bad + std::string(200'000, '\0')), r);
    EXPECT_TRUE(r.got.empty()) << bit;
  }
}

TEST(PeerFrame, TooLongIsRefusedBeforeMemoryIsTaken) {
  PeerFrameParser p(100);
  Recorder r;
  EXPECT_TRUE(p.feed(as_span(frame(16, 0, {std::string(100, 'x')})), r));
  std::string header = frame(16, 0, {std::string(101, 'x')}).substr(0, kPeerHeaderBytes);
  EXPECT_FALSE(p.feed(as_span(header), r));
  EXPECT_EQ(p.error(), "frame of 101 bytes, at most 100 are allowed");
  EXPECT_FALSE(p.feed(as_span(frame(16, 0, {"y"})), r)) << "stays failed";
  EXPECT_EQ(r.got.size(), 1u);
}

TEST(PeerFrame, LimitMayGrowInsideACallback) {
  struct Grow final : PeerFrameEvents {
    bool on_frame(PeerFrame f) override {
      sizes.push_back(f.payload.size());
      parser->set_payload_max(1'000);
      return true;
    }
    PeerFrameParser* parser = nullptr;
    std::vector<std::size_t> sizes;
  } grow;
  PeerFrameParser p(10);
  grow.parser = &p;
  std::string all = frame(1, 0, {"short"}) + frame(16, 0, {std::string(1'000, 'x')});
  EXPECT_TRUE(p.feed(as_span(all), grow));
  EXPECT_EQ(grow.sizes, (std::vector<std::size_t>{5, 1'000}));
}

TEST(PeerFrame, StopsWhereTheCallbackSays) {
  PeerFrameParser p;
  Recorder r;
  r.stop_at = "4/1:";
  EXPECT_TRUE(p.feed(as_span(transcript()), r));
  EXPECT_EQ(r.got.size(), 2u);
}

TEST(PeerFrame, LargeFrame) {
  std::string body(20u << 20, 'L');
  PeerHeader h = peer_header(20, 4, {Bytes::copy_of(body)});
  PeerFrameParser p;
  struct Big final : PeerFrameEvents {
    bool on_frame(PeerFrame f) override {
      payload = f.payload;
      return true;
    }
    Bytes payload;
  } big;
  EXPECT_TRUE(p.feed(h, big));
  EXPECT_TRUE(p.feed(as_span(body), big));
  EXPECT_TRUE(big.payload.text() == body);
  EXPECT_EQ(big.payload.block_size(), body.size());
}

}  // namespace
}  // namespace weir::proto
