#include "broker/cluster/placement.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>

#include "broker/base/prng.h"
#include "broker/base/text.h"

namespace weir::cluster {
namespace {

using Nodes = std::vector<NodeId>;

bool holds(const Nodes& list, NodeId node) {
  return std::find(list.begin(), list.end(), node) != list.end();
}

/// Why nodes were passed over; all of it is told.
struct Reasons {
  bool offline = false, exclude_tag = false, storage = false, unique = false, misc = false, none = false;
  std::set<std::string> missing, excluded;

  api::ApiError error() const {
    std::string text = "no suitable peers for placement";
    if (offline) text += ", peer offline";
    if (exclude_tag) text += ", exclude tag set";
    if (storage) text += ", insufficient storage";
    if (unique) text += ", server tag not unique";
    if (misc) text += ", miscellaneous issue";
    if (none) text += ", jetstream not enabled in cluster";
    add_list(text, ", tags not matched [", missing);
    add_list(text, ", tags excluded [", excluded);
    return api::make_error(api::ErrCode::kClusterNoPeers, text);
  }

 private:
  static void add_list(std::string& text, std::string_view title, const std::set<std::string>& tags) {
    if (tags.empty()) return;
    text += title;
    bool first = true;
    for (const std::string& tag : tags) {
      if (!first) text += ", ";
      first = false;
      text += "'" + tag + "'";
    }
    text += "]";
  }
};

struct Ask {
  const api::StreamConfig& config;
  const std::vector<PlaceNode>& nodes;
  const PlaceRules& rules;
  std::uint64_t seed;
  std::size_t replicas;
  Nodes keep;     // in any case
  Nodes prefer;   // before others if they fit
  Nodes exclude;  // never
};

class Chooser {
 public:
  explicit Chooser(const Ask& ask) : ask_(ask), unique_(ask.rules.unique_tag) {
    if (ask.config.placement) {
      for (const std::string& tag : ask.config.placement->tags) {
        bool without = tag.starts_with('!');
        tags_.push_back({to_lower(without ? std::string_view(tag).substr(1) : tag), without});
        if (!unique_.empty() && tags_.back().name.starts_with(unique_)) unique_.clear();
      }
    }
    for (const PlaceNode& n : ask.nodes)
      if (holds(ask.keep, n.id)) claim(n);
  }

  Placed choose() {
    Nodes chosen = ask_.keep;
    std::size_t online = chosen.size();
    for (const PlaceNode* n : ranked()) {
      if (chosen.size() >= ask_.replicas) break;
      if (!unique_.empty() && !claim(*n)) {
        why_.unique = true;
        continue;
      }
      chosen.push_back(n->id);
      if (n->online) ++online;
    }
    bool too_few = chosen.size() < ask_.replicas;
    if (!too_few && online >= ask_.replicas / 2 + 1) return {std::move(chosen), {}};
    why_.none = ask_.nodes.empty();
    if (!too_few) why_.offline = true;
    return {{}, why_.error()};
  }

 private:
  struct Tag {
    std::string name;
    bool without;
  };

  /// The node's value of the unique tag is taken from now on; false: it has none, or it was taken.
  bool claim(const PlaceNode& n) {
    for (const std::string& tag : n.tags)
      if (tag.starts_with(unique_)) return claimed_.insert(tag).second;
    return false;
  }

  std::vector<const PlaceNode*> ranked() {
    using Rank = std::tuple<bool, bool, bool, std::size_t, std::uint64_t, std::size_t, std::uint64_t>;
    Prng prng(ask_.seed);
    std::vector<std::pair<Rank, const PlaceNode*>> all;
    bool several = ask_.config.num_replicas > 1;
    for (const PlaceNode& n : ask_.nodes) {
      std::uint64_t toss = prng.next();
      if (!fits(n)) continue;
      bool tight = ask_.config.storage == api::Storage::kMemory ? n.memory_tight : n.file_tight;
      all.push_back({{!n.online, !holds(ask_.prefer, n.id), tight, several ? n.replicated : n.streams,
                      UINT64_MAX - free_bytes(n), n.streams, toss},
                     &n});
    }
    std::sort(all.begin(), all.end());
    std::vector<const PlaceNode*> out;
    for (const auto& [rank, n] : all) out.push_back(n);
    return out;
  }

  bool fits(const PlaceNode& n) {
    const auto& placement = ask_.config.placement;
    bool named = placement && !placement->cluster.empty();
    if (n.cluster != (named ? placement->cluster : ask_.rules.cluster)) return false;
    if (!n.jetstream) return false;
    if (!n.known) {
      why_.offline = true;
      return false;
    }
    if (holds(ask_.exclude, n.id) || holds(ask_.keep, n.id)) return false;
    return fits_tags(n) && fits_limits(n);
  }

  bool fits_tags(const PlaceNode& n) {
    auto has = [&](std::string_view tag) {
      return std::find(n.tags.begin(), n.tags.end(), tag) != n.tags.end();
    };
    if (has("!jetstream")) {
      why_.exclude_tag = true;
      return false;
    }
    for (const Tag& tag : tags_) {
      if (has(tag.name) != tag.without) continue;
      (tag.without ? why_.excluded : why_.missing).insert(tag.name);
      return false;
    }
    return true;
  }

  bool fits_limits(const PlaceNode& n) {
    bool mine = holds(ask_.prefer, n.id);  // what it holds of this stream is counted already
    bool bounded = ask_.config.max_bytes > 0;
    if (bounded && !mine && static_cast<std::uint64_t>(ask_.config.max_bytes) > free_bytes(n)) {
      why_.storage = true;
      return false;
    }
    std::size_t most = ask_.rules.max_ha_assets;
    if (ask_.config.num_replicas > 1 && !mine && most > 0 && n.replicated >= most) {
      why_.misc = true;
      return false;
    }
    return true;
  }

  std::uint64_t free_bytes(const PlaceNode& n) const {
    return ask_.config.storage == api::Storage::kMemory ? n.memory_free : n.file_free;
  }

  const Ask& ask_;
  std::string unique_;
  std::vector<Tag> tags_;
  std::set<std::string> claimed_;
  Reasons why_;
};

std::size_t wanted(const api::StreamConfig& config) {
  return config.num_replicas > 0 ? static_cast<std::size_t>(config.num_replicas) : 1;
}

}  // namespace

Placed place_new(const api::StreamConfig& config, const std::vector<PlaceNode>& nodes,
                 const PlaceRules& rules, std::uint64_t seed) {
  Ask ask{config, nodes, rules, seed, wanted(config), {}, {}, {}};
  return Chooser(ask).choose();
}

Placed place_scale(const api::StreamConfig& config, const std::vector<NodeId>& current, NodeId leader,
                   const std::vector<PlaceNode>& nodes, const PlaceRules& rules, std::uint64_t seed) {
  std::size_t count = wanted(config);
  if (count > current.size()) {
    Ask ask{config, nodes, rules, seed, count, current, {}, {}};
    return Chooser(ask).choose();
  }
  Nodes kept = current;
  auto rank = [&](NodeId id) {
    if (id == leader) return 0;
    auto n = std::find_if(nodes.begin(), nodes.end(), [&](const PlaceNode& p) { return p.id == id; });
    return n != nodes.end() && n->online ? 1 : 2;
  };
  std::stable_sort(kept.begin(), kept.end(), [&](NodeId a, NodeId b) { return rank(a) < rank(b); });
  kept.resize(count);
  return {std::move(kept), {}};
}

Placed place_move(const api::StreamConfig& config, const std::vector<NodeId>& current,
                  const std::vector<NodeId>& exclude, const std::vector<PlaceNode>& nodes,
                  const PlaceRules& rules, std::uint64_t seed) {
  Ask ask{config, nodes, rules, seed, wanted(config), {}, current, exclude};
  return Chooser(ask).choose();
}

Placed place_replacement(const api::StreamConfig& config, const std::vector<NodeId>& current, NodeId gone,
                         const std::vector<PlaceNode>& nodes, const PlaceRules& rules, std::uint64_t seed) {
  Nodes stay = current;
  std::erase(stay, gone);
  std::vector<PlaceNode> reached = nodes;
  std::erase_if(reached, [&](const PlaceNode& n) { return !n.online && !holds(stay, n.id); });
  std::size_t count = std::max(wanted(config), stay.size());
  api::ApiError first;
  for (; count > stay.size() && count > 0; --count) {
    Ask ask{config, reached, rules, seed, count, stay, {}, {gone}};
    Placed placed = Chooser(ask).choose();
    if (placed.ok()) return {std::move(placed.nodes), first};
    if (first.err_code == api::ErrCode::kNone) first = placed.error;
  }
  return {std::move(stay), first};
}

}  // namespace weir::cluster
