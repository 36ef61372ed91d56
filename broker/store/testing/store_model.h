// broker/store/testing/store_model.h - the plain model that both message stores are tested against.
//
// For tests only: a std::map of messages, every answer found by looking at all of them.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "broker/base/prng.h"
#include "broker/store/filter.h"
#include "broker/store/message_store.h"

namespace weir::store {

inline Message make_message(std::uint64_t seq, std::int64_t time_ns, const std::string& subject,
                            const std::string& headers, const std::string& payload) {
  Message m;
  m.seq = StreamSeq(seq);
  m.time = Wall{time_ns};
  m.record = Bytes::copy_of(subject + headers + payload);
  m.subject_size = static_cast<std::uint32_t>(subject.size());
  m.header_size = static_cast<std::uint32_t>(headers.size());
  return m;
}

struct StoreModel {
  struct Item {
    std::string subject, headers, payload;
    std::int64_t time = 0;
  };
  std::map<std::uint64_t, Item> items;
  std::uint64_t last = 0;
  std::int64_t last_time = 0;

  static bool fits(const Filter& f, const Item& i) { return SubjectMatcher(f).matches(i.subject); }
};

inline std::string model_subject(Prng& prng) {
  switch (prng.below(4)) {
    case 0: return "a." + std::to_string(prng.below(3));
    case 1: return "kv." + std::to_string(prng.below(200));
    case 2: return "o." + std::to_string(prng.below(3)) + "." + std::to_string(prng.below(20)) + ".x";
    default: return "rare." + std::to_string(prng.below(2000));
  }
}

inline Filter model_filter(Prng& prng) {
  switch (prng.below(9)) {
    case 0: return {};
    case 1: return {">"};
    case 2: return {"o.*.*.x"};
    case 3: return {"kv.*"};
    case 4: return {"rare.>"};
    case 5: return {"a.1", "kv." + std::to_string(prng.below(200)), "o.2.>"};
    case 6: return {"*." + std::to_string(prng.below(4))};
    case 7: return {"none", "o.1." + std::to_string(prng.below(20)) + ".x", "o.1.*.x"};
    default: return {model_subject(prng)};
  }
}

/// Does one random change to both. Returns what it did, for messages of failures.
inline std::string model_step(MessageStore& store, StoreModel& model, Prng& prng) {
  std::uint64_t kind = prng.below(100);
  if (kind < 70) {
    std::uint64_t seq = model.last + 1 + (prng.chance(1, 40) ? prng.below(300) : 0);
    model.last_time += static_cast<std::int64_t>(prng.below(3));
    StoreModel::Item item{model_subject(prng), prng.chance(1, 4) ? "NATS/1.0\r\nA: b\r\n\r\n" : "",
                          std::string(prng.below(60), static_cast<char>('a' + prng.below(26))),
                          model.last_time};
    store.append(make_message(seq, item.time, item.subject, item.headers, item.payload));
    model.items[seq] = item;
    model.last = seq;
    return "append " + std::to_string(seq);
  }
  if (kind < 97) {
    std::uint64_t seq = prng.below(model.last + 2);
    if (prng.chance(1, 3) && !model.items.empty()) seq = model.items.begin()->first;
    auto it = model.items.lower_bound(seq);
    if (prng.chance(3, 4) && it != model.items.end()) seq = it->first;
    auto removed = store.remove(StreamSeq(seq));
    EXPECT_TRUE(removed) << removed.error().to_string();
    if (removed) {
      EXPECT_EQ(removed->messages, model.items.count(seq));
    }
    model.items.erase(seq);
    return "remove " + std::to_string(seq);
  }
  std::uint64_t first = model.items.empty() ? model.last : model.items.begin()->first;
  std::uint64_t keep = first + prng.below(std::max<std::uint64_t>(1, (model.last - first) / 3 + 2));
  if (prng.chance(1, 30)) keep = model.last + 1 + prng.below(5);
  auto removed = store.compact(StreamSeq(keep));
  EXPECT_TRUE(removed) << removed.error().to_string();
  auto end = model.items.lower_bound(keep);
  auto n = static_cast<std::uint64_t>(std::distance(model.items.begin(), end));
  if (removed) {
    EXPECT_EQ(removed->messages, n);
  }
  model.items.erase(model.items.begin(), end);
  if (keep > 0 && model.last < keep - 1) model.last = keep - 1;
  return "compact " + std::to_string(keep);
}

inline void expect_message(const std::optional<Message>& got, std::uint64_t seq,
                           const StoreModel::Item& want) {
  ASSERT_TRUE(got.has_value()) << "sequence " << seq;
  EXPECT_EQ(got->seq.v, seq);
  EXPECT_EQ(got->time.ns, want.time);
  EXPECT_EQ(got->subject(), want.subject);
  EXPECT_EQ(got->headers(), want.headers);
  EXPECT_EQ(got->payload(), want.payload);
}

/// Figures that must always be exact.
inline void expect_state(const MessageStore& store, const StoreModel& model) {
  const StoreState& s = store.state();
  std::uint64_t bytes = 0;
  std::map<std::string, SubjectState> subjects;
  for (const auto& [seq, i] : model.items) {
    bytes += store.stored_size(i.subject.size(), i.headers.size(), i.payload.size());
    auto& x = subjects[i.subject];
    if (x.count++ == 0) x.first = StreamSeq(seq);
    x.last = StreamSeq(seq);
  }
  std::uint64_t first = model.items.empty() ? (model.last ? model.last + 1 : 0) : model.items.begin()->first;
  SeqSums live;
  for (const auto& [seq, i] : model.items) live.add(seq);
  EXPECT_EQ(s.live, live);
  EXPECT_EQ(s.messages, model.items.size());
  EXPECT_EQ(s.bytes, bytes);
  EXPECT_EQ(s.last_seq.v, model.last);
  EXPECT_EQ(s.last_time.ns, model.last_time);
  EXPECT_EQ(s.first_seq.v, first);
  EXPECT_EQ(s.first_time.ns, model.items.empty() ? 0 : model.items.begin()->second.time);
  EXPECT_EQ(s.subjects, subjects.size());
  EXPECT_EQ(s.deleted, model.items.empty() ? 0 : model.last - first + 1 - model.items.size());
  auto it = subjects.begin();
  store.for_each_subject({}, [&](std::string_view name, const SubjectState& x) {
    EXPECT_TRUE(it != subjects.end() && it->first == name) << name;
    if (it == subjects.end()) return false;
    EXPECT_EQ(x.count, it->second.count) << name;
    EXPECT_EQ(x.first, it->second.first) << name;
    EXPECT_EQ(x.last, it->second.last) << name;
    ++it;
    return true;
  });
  EXPECT_TRUE(it == subjects.end());
}

/// Asks one random question of each kind.
inline void expect_answers(MessageStore& store, const StoreModel& model, Prng& prng) {
  const auto& items = model.items;
  std::uint64_t at = prng.below(model.last + 3);
  if (!items.empty() && prng.chance(2, 3))
    at = items.begin()->first + prng.below(model.last - items.begin()->first + 2);
  Filter filter = model_filter(prng);
  SCOPED_TRACE("at " + std::to_string(at) + " filter " + (filter.empty() ? "" : filter[0]));
  auto loaded = store.load(StreamSeq(at));
  ASSERT_TRUE(loaded) << loaded.error().to_string();
  auto exact = items.find(at);
  EXPECT_EQ(loaded->has_value(), exact != items.end());
  if (exact != items.end()) expect_message(*loaded, at, exact->second);

  auto up = items.lower_bound(at);
  std::uint64_t count = 0;
  auto hit = items.end();
  for (auto it = up; it != items.end(); ++it) {
    if (!StoreModel::fits(filter, it->second)) continue;
    if (count++ == 0) hit = it;
  }
  auto next = store.next(filter, StreamSeq(at));
  ASSERT_TRUE(next) << next.error().to_string();
  EXPECT_EQ(next->has_value(), hit != items.end());
  if (hit != items.end()) expect_message(*next, hit->first, hit->second);
  auto counted = store.count(filter, StreamSeq(at));
  ASSERT_TRUE(counted) << counted.error().to_string();
  EXPECT_EQ(*counted, count);

  auto before = items.upper_bound(at);
  while (before != items.begin() && !StoreModel::fits(filter, std::prev(before)->second)) --before;
  auto last = store.last(filter, StreamSeq(at));
  ASSERT_TRUE(last) << last.error().to_string();
  EXPECT_EQ(last->has_value(), before != items.begin());
  if (before != items.begin()) expect_message(*last, std::prev(before)->first, std::prev(before)->second);

  std::int64_t t = static_cast<std::int64_t>(prng.below(static_cast<std::uint64_t>(model.last_time) + 2));
  std::uint64_t want = model.last + 1;
  for (const auto& [seq, i] : items) {
    if (i.time >= t) {
      want = seq;
      break;
    }
  }
  auto by_time = store.seq_at(Wall{t});
  ASSERT_TRUE(by_time) << by_time.error().to_string();
  EXPECT_EQ(by_time->v, want) << "time " << t;

  std::vector<StreamSeq> gone;
  std::uint64_t limit = prng.chance(1, 2) ? 1000000 : prng.below(20);
  if (!items.empty()) {
    for (std::uint64_t q = items.begin()->first; q <= model.last && gone.size() < limit; ++q) {
      if (!items.count(q)) gone.push_back(StreamSeq(q));
    }
  }
  EXPECT_EQ(store.deleted(limit), gone);

  std::vector<LiveRange> ranges;
  for (auto it = up; it != items.end(); ++it) {
    if (!ranges.empty() && it->first == ranges.back().last.v + 1) {
      ranges.back().last = StreamSeq(it->first);
    } else if (ranges.size() < limit) {
      ranges.push_back({StreamSeq(it->first), StreamSeq(it->first)});
    } else {
      break;
    }
  }
  EXPECT_EQ(store.live_ranges(StreamSeq(at), limit), ranges);
}

}  // namespace weir::store
