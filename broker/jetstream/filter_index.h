// broker/jetstream/filter_index.h - which consumers of a stream does a message concern?
//
// One list of all filters, asked once per message; the cost does not grow with consumers whose
// filters stand for other subjects.
//
// Room:    pure. Thread: one shard. Owner: StreamMachine; follows its consumers, also on followers.
// Cost:    match(): one look-up in a Sublist and the ids found; without filters the ids alone.
//          A stream whose consumers have no filters holds no Sublist at all.
// Order:   ids ascending: what apply decides by them must not depend on how they came here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/subject/sublist.h"

namespace weir::jetstream {

class FilterIndex {
 public:
  using ConsumerId = std::uint32_t;

  /// Adds a consumer, or replaces its filters. None: it wants every subject. A filter that is no
  /// pattern stands for no subject, and the same filter twice counts once.
  void set(ConsumerId id, const std::vector<std::string>& filters);
  /// False if it is not there.
  bool remove(ConsumerId id);
  void clear();

  /// The consumers that want `literal`, ascending, each once. Valid until the next call.
  const std::vector<ConsumerId>& match(std::string_view literal);
  /// True if there is one.
  bool wants(std::string_view literal) const;
  /// Consumers without a filter, ascending.
  const std::vector<ConsumerId>& unfiltered() const { return everything_; }
  std::size_t size() const { return everything_.size() + filtered_.size(); }

 private:
  using List = subject::Sublist<ConsumerId>;

  std::vector<ConsumerId> everything_;
  std::unique_ptr<List> list_;  // there while filtered_ is not empty
  // Looked up only, never walked.
  std::unordered_map<ConsumerId, std::vector<subject::EntryId>> filtered_;
  std::vector<ConsumerId> found_;
};

}  // namespace weir::jetstream
