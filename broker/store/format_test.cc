// Golden bytes of docs/formats/{block,segment}.md, and what their readers refuse.
#include <gtest/gtest.h>

#include <set>

#include "broker/base/crc32c.h"
#include "broker/store/block.h"
#include "broker/store/segment.h"
#include "broker/store/segment_writer.h"
#include "broker/store/seq_set.h"
#include "broker/store/store_keys.h"
#include "broker/store/testing/store_model.h"

namespace weir::store {
namespace {

std::string hex(ByteSpan bytes) {
  std::string out;
  for (auto b : bytes) {
    out += "0123456789abcdef"[b >> 4];
    out += "0123456789abcdef"[b & 15];
  }
  return out;
}

Bytes golden_block(BlockInfo& info) {
  BlockBuilder b;
  b.add(make_message(10, 1000, "a.b", "", "xyz"));
  b.add(make_message(11, 1002, "c", "NATS/1.0\r\n\r\n", ""));
  b.add(make_message(300, 1002, "a.b", "", ""));
  return b.finish(GroupId(7), info);
}

TEST(BlockFormat, Golden) {
  BlockInfo info;
  Bytes bytes = golden_block(info);
  EXPECT_EQ(hex(bytes.span()),
            "57424c4b0100000007000000030000000a00000000000000180000000f0000008ee70b3ff5415d1c"
            "08806c5fc904c4070203612e62016300d00f0000030104010c00a1020000000078797a4e4154532f"
            "312e300d0a0d0a");
  auto block = decode_block(GroupId(7), info, bytes.span());
  ASSERT_TRUE(block) << block.error().to_string();
  ASSERT_EQ(block->index.rows.size(), 3u);
  Message m = block->message(block->index.rows[1]);
  EXPECT_EQ(m.seq.v, 11u);
  EXPECT_EQ(m.time.ns, 1002);
  EXPECT_EQ(m.subject(), "c");
  EXPECT_EQ(m.headers(), "NATS/1.0\r\n\r\n");
  EXPECT_EQ(m.payload(), "");
  EXPECT_EQ(block->index.find(StreamSeq(12)), nullptr);
  EXPECT_EQ(block->index.find(StreamSeq(300)), &block->index.rows[2]);
  EXPECT_EQ(block->index.lower(StreamSeq(12)), 2u);
  EXPECT_EQ(block->index.lower(StreamSeq(301)), 3u);
}

TEST(BlockFormat, RefusesEveryCutAndFlip) {
  BlockInfo info;
  Bytes bytes = golden_block(info);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(decode_block(GroupId(7), info, bytes.span().first(n))) << n;
  }
  for (std::size_t i = 0; i < bytes.size() * 8; ++i) {
    std::string bad(bytes.text());
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
    EXPECT_FALSE(decode_block(GroupId(7), info, as_span(bad))) << i;
  }
  EXPECT_FALSE(decode_block(GroupId(8), info, bytes.span()));
  BlockInfo other = info;
  ++other.base;
  EXPECT_FALSE(decode_block(GroupId(7), other, bytes.span()));
}

// Checksums that hold do not make a lie true: every byte of the index is changed with its CRC.
TEST(BlockFormat, BrokenRulesBehindGoodChecksums) {
  BlockInfo info;
  Bytes bytes = golden_block(info);
  for (std::size_t at = 0; at < info.index_bytes; ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string bad(bytes.text());
      bad[kBlockHeaderBytes + at] = static_cast<char>(value);
      auto* p = reinterpret_cast<std::uint8_t*>(bad.data());
      BlockInfo claimed = info;
      claimed.index_crc = crc32c({p + kBlockHeaderBytes, info.index_bytes});
      put_u32(p + 40, claimed.index_crc);
      put_u32(p + 44, crc32c({p, 44}));
      auto block = decode_block(GroupId(7), claimed, as_span(bad));
      if (!block) continue;
      for (const auto& row : block->index.rows) EXPECT_LE(block->message(row).record.size(), 64u);
    }
  }
}

Bytes golden_segment(std::shared_ptr<Segment>& segment) {
  SegmentWriter w(GroupId(7), 5);
  BytesBuilder out;
  w.add(make_message(10, 1000, "kv.a", "", "1"));
  w.add(make_message(11, 1001, "kv.b", "", "2"));
  out.append(w.take_block().text());
  w.add(make_message(13, 1001, "kv.a", "", "3"));
  w.add(make_message(14, 1004, "kv.a", "", "4"));
  w.add(make_message(20, 1004, "kv.b", "", "5"));
  out.append(w.take_block().text());
  out.append(w.take_pages(1000).text());
  EXPECT_TRUE(w.take_pages(1000).empty());
  out.append(w.finish().text());
  segment = w.segment();
  return out.freeze();
}

TEST(SegmentFormat, Golden) {
  std::shared_ptr<Segment> s;
  Bytes bytes = golden_segment(s);
  EXPECT_EQ(hex(bytes.span()),
            "575345470100000007000000d6f851c157424c4b0100000007000000020000000a00000000000000"
            "1600000002000000749f942c572ecd7e635f9b9a2793c51102046b762e61046b762e6200d00f0000"
            "010102010001313257424c4b0100000007000000030000000d000000000000001b00000003000000"
            "3630f8b1699ff63f1c153044a6d09a3202046b762e61046b762e6200d20f00000101060000010600"
            "01000133343500046b762e61030004010303016202010901070a1405af01d00fd80f020001021016"
            "02d00fd20f635f9b9a749f942c572ecd7e030703581b03d20fd80f1c1530443630f8b1699ff63f01"
            "a60111e82b8ea6046b762e61a0ccee0257534547454e4431b7000000000000003f78b77bb909af47"
            "0a000000000000001400000000000000490000000700000000000000000000000000000017660a92");
  EXPECT_EQ(s->file_bytes, bytes.size());
  EXPECT_EQ(s->live, 5u);
  EXPECT_EQ(s->dead.size(), 6u);  // 12, 15..19
  auto place = decode_trailer(bytes.span().last(kSegmentTrailerBytes), bytes.size());
  ASSERT_TRUE(place);
  EXPECT_EQ(place->offset, s->footer.offset);
  EXPECT_EQ(place->hash, s->footer.hash);
  auto footer = decode_footer(bytes.span().subspan(place->offset, place->bytes));
  ASSERT_TRUE(footer) << footer.error().to_string();
  EXPECT_EQ(footer->base.v, 10u);
  EXPECT_EQ(footer->last.v, 20u);
  EXPECT_EQ(footer->messages, 5u);
  ASSERT_EQ(footer->blocks.size(), 2u);
  EXPECT_EQ(footer->block_of(StreamSeq(12)), 0u);
  EXPECT_EQ(footer->block_of(StreamSeq(9)), 2u);
  ASSERT_EQ(footer->pages.size(), 1u);
  const auto& page = footer->pages[0];
  std::string seen;
  ASSERT_TRUE(visit_dict_page(bytes.span().subspan(page.offset, page.bytes), 10, [&](const DictEntry& e) {
    seen += std::string(e.subject) + ":";
    EXPECT_TRUE(e.postings([&](std::uint32_t x) {
      seen += " " + std::to_string(x);
      return true;
    }));
    seen += ";";
    return true;
  }));
  EXPECT_EQ(seen, "kv.a: 0 3 4;kv.b: 1 10;");
}

TEST(SegmentFormat, FooterAndTrailerRefuseCutsAndFlips) {
  std::shared_ptr<Segment> s;
  Bytes bytes = golden_segment(s);
  ByteSpan footer = bytes.span().subspan(s->footer.offset, s->footer.bytes);
  for (std::size_t n = 0; n < footer.size(); ++n) EXPECT_FALSE(decode_footer(footer.first(n)));
  for (std::size_t i = 0; i < footer.size() * 8; ++i) {
    std::string bad(as_text(footer));
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
    EXPECT_FALSE(decode_footer(as_span(bad)));
  }
  ByteSpan trailer = bytes.span().last(kSegmentTrailerBytes);
  for (std::size_t i = 0; i < trailer.size() * 8; ++i) {
    std::string bad(as_text(trailer));
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
    EXPECT_FALSE(decode_trailer(as_span(bad), bytes.size()));
  }
}

// Any byte of footer and dictionary, checksums mended: an error or an answer within bounds.
TEST(SegmentFormat, LiesBehindGoodChecksums) {
  std::shared_ptr<Segment> s;
  Bytes bytes = golden_segment(s);
  std::string_view footer = bytes.text().substr(s->footer.offset, s->footer.bytes);
  for (std::size_t at = 0; at + 4 < footer.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string bad(footer);
      bad[at] = static_cast<char>(value);
      auto* p = reinterpret_cast<std::uint8_t*>(bad.data());
      put_u32(p + bad.size() - 4, crc32c({p, bad.size() - 4}));
      auto f = decode_footer(as_span(bad));
      if (!f) continue;
      EXPECT_LT(f->last - f->base, kSegmentSpanMax);
      for (const auto& b : f->blocks) EXPECT_LE(b.last, f->last);
    }
  }
  auto decoded = decode_footer(as_span(footer));
  ASSERT_TRUE(decoded);
  const auto& info = decoded->pages[0];
  for (std::size_t at = 0; at < info.bytes; ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string bad(bytes.text().substr(info.offset, info.bytes));
      bad[at] = static_cast<char>(value);
      (void)visit_dict_page(as_span(bad), 10, [&](const DictEntry& e) {
        (void)e.postings([](std::uint32_t x) {
          EXPECT_LE(x, 10u);
          return true;
        });
        return true;
      });
    }
  }
}

TEST(SegmentFormat, PagesAreFoundByPrefix) {
  SegmentWriter w(GroupId(1), 1);
  std::uint64_t seq = 1;
  for (int i = 0; i < 5000; ++i) w.add(make_message(seq++, 0, "s." + std::to_string(100000 + i * 7), "", ""));
  BytesBuilder out;
  out.append(w.take_block().text());
  for (Bytes p = w.take_pages(20'000); !p.empty(); p = w.take_pages(20'000)) out.append(p.text());
  out.append(w.finish().text());
  auto s = w.segment();
  auto f = decode_footer(as_span(out.text().substr(s->footer.offset, s->footer.bytes)));
  ASSERT_TRUE(f);
  ASSERT_GT(f->pages.size(), 2u);
  for (std::string prefix : {"s.1000", "s.12", "s.100007", "s.134993", "s.", "", "a", "z", "s.1349930"}) {
    auto [from, to] = f->pages_of(prefix);
    int found = 0;
    for (std::size_t i = from; i < to; ++i) {
      auto page = as_span(out.text().substr(f->pages[i].offset, f->pages[i].bytes));
      EXPECT_EQ(crc32c(page), f->pages[i].crc);
      ASSERT_TRUE(visit_dict_page(page, s->span(), [&](const DictEntry& e) {
        found += e.subject.starts_with(prefix) ? 1 : 0;
        return true;
      }));
    }
    int want = 0;
    for (int i = 0; i < 5000; ++i)
      want += ("s." + std::to_string(100000 + i * 7)).starts_with(prefix) ? 1 : 0;
    EXPECT_EQ(found, want) << prefix;
  }
}

TEST(SegmentFormat, WideGapsNeedANewSegment) {
  SegmentWriter w(GroupId(1), 1);
  w.add(make_message(5, 0, "a", "", ""));
  EXPECT_TRUE(w.accepts(StreamSeq(1000)));
  EXPECT_FALSE(w.accepts(StreamSeq(1ull << 40)));
}

TEST(SeqSet, AgainstPlainSet) {
  Prng prng(1);
  std::set<std::uint32_t> plain;
  SeqSet set;
  EXPECT_TRUE(set.empty());
  for (int i = 0; i < 3000; ++i) {
    auto x = static_cast<std::uint32_t>(prng.below(20000));
    if (prng.chance(1, 50)) {
      auto to = x + static_cast<std::uint32_t>(prng.below(500));
      set.add_range(x, to);
      for (std::uint32_t v = x; v <= to; ++v) plain.insert(v);
    } else {
      EXPECT_EQ(set.add(x), plain.insert(x).second);
    }
    auto from = static_cast<std::uint32_t>(prng.below(21000));
    auto to = from + static_cast<std::uint32_t>(prng.below(3000));
    auto next = from;
    while (next <= to && plain.count(next)) ++next;
    EXPECT_EQ(set.next_absent(from, to), next <= to ? std::optional(next) : std::nullopt);
    std::int64_t prev = to;
    while (prev >= from && plain.count(static_cast<std::uint32_t>(prev))) --prev;
    EXPECT_EQ(set.prev_absent(from, to),
              prev >= from ? std::optional(static_cast<std::uint32_t>(prev)) : std::nullopt);
    auto member = plain.lower_bound(from);
    EXPECT_EQ(set.next_member(from, to),
              member != plain.end() && *member <= to ? std::optional(*member) : std::nullopt);
    EXPECT_EQ(set.count(from, to),
              static_cast<std::uint64_t>(std::distance(plain.lower_bound(from), plain.upper_bound(to))));
  }
  SeqSet copy = set;
  auto decoded = SeqSet::decode(copy.encode());
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->size(), plain.size());
  EXPECT_FALSE(SeqSet::decode("nonsense"));
  EXPECT_FALSE(SeqSet::decode(""));
}

TEST(StoreKeys, ValuesAndRefusals) {
  StoreKeys k(GroupId(12));
  EXPECT_EQ(k.file(0xab), "g/12/s/f00000000000000ab");
  EXPECT_EQ(k.parse("g/12/s/x00000000000000ab"), (std::pair<char, std::uint64_t>{'x', 0xab}));
  EXPECT_EQ(k.parse("g/12/s/state").first, 0);
  EXPECT_EQ(k.parse("g/12/s/x00000000000000aG").first, 0);
  auto state = encode_saved_state({StreamSeq(9), Wall{-4}, 3});
  EXPECT_EQ(decode_saved_state(state)->last_time.ns, -4);
  EXPECT_FALSE(decode_saved_state(state + "x"));
  EXPECT_FALSE(decode_saved_state(""));
  std::shared_ptr<Segment> s;
  (void)golden_segment(s);
  std::string entry = encode_segment_entry(*s);
  EXPECT_EQ(decode_segment_entry(entry)->footer.hash, s->footer.hash);
  for (std::size_t n = 0; n < entry.size(); ++n) EXPECT_FALSE(decode_segment_entry(entry.substr(0, n)));
  std::string dead = encode_dead(s->live, s->live_bytes, s->dead);
  Segment read = *decode_segment_entry(entry);
  EXPECT_TRUE(decode_dead(dead, read));
  EXPECT_EQ(read.dead.size(), 6u);
  for (std::size_t n = 0; n < dead.size(); ++n) EXPECT_FALSE(decode_dead(dead.substr(0, n), read));
  EXPECT_FALSE(decode_dead(encode_dead(4, 10, s->dead), read));
}

TEST(BlockCache, KeepsItsBudget) {
  BlockCache cache(1000);
  auto part = [](int v) { return std::make_shared<const int>(v); };
  std::uint64_t s = cache.new_segment();
  for (std::uint64_t i = 0; i < 10; ++i) cache.put({s, i}, part(static_cast<int>(i)), 100);
  EXPECT_EQ(*cache.find<int>({s, 0}), 0);  // now the most recent
  cache.put({s, 10}, part(10), 100);
  EXPECT_EQ(cache.find<int>({s, 1}), nullptr);
  EXPECT_NE(cache.find<int>({s, 0}), nullptr);
  auto held = cache.find<int>({s, 2});
  cache.put({s, 11}, part(11), 5000);  // larger than the budget: alone
  EXPECT_EQ(cache.stats().parts, 1u);
  EXPECT_EQ(*held, 2);
  cache.drop({s, 11});
  EXPECT_EQ(cache.stats().bytes, 0u);
}

}  // namespace
}  // namespace weir::store
