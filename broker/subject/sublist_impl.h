// broker/subject/sublist_impl.h - bodies of Sublist; included by sublist.h only.
// !allow-size: bodies of one template, which change together.
#pragma once

#include "broker/subject/sublist.h"

namespace weir::subject {

template <class T>
Result<EntryId> Sublist<T>::insert(std::string_view pattern, std::string_view queue, T value) {
  if (!is_valid_pattern(pattern)) return {Code::kInvalid, "not a subject: " + std::string(pattern)};
  if (token_count(pattern) > limits::kSubjectTokensMax) return {Code::kLimit, "subject has too many tokens"};
  if (size_ >= 0xffff'fff0u) return {Code::kLimit, "too many subscriptions"};
  Leaf& leaf = leaf_of(pattern);
  ++size_;
  EntryId id;
  if (queue.empty()) {
    id = take_slot(leaf, kPlain, static_cast<std::uint32_t>(leaf.found.plain.size()));
    leaf.found.plain.push_back(std::move(value));
    leaf.plain_ids.push_back(id);
  } else {
    std::uint32_t g = group_index(leaf, queue);
    auto& members = leaf.found.groups[g].members;
    id = take_slot(leaf, g, static_cast<std::uint32_t>(members.size()));
    members.push_back(std::move(value));
    leaf.group_ids[g].push_back(id);
  }
  invalidate(leaf);
  return id;
}

template <class T>
void Sublist<T>::remove(EntryId id) {
  CHECK(id.v < slots_.size() && slots_[id.v].leaf, "no such entry");
  Slot slot = slots_[id.v];
  Leaf& leaf = *slot.leaf;
  invalidate(leaf);
  bool plain = slot.group == kPlain;
  auto& values = plain ? leaf.found.plain : leaf.found.groups[slot.group].members;
  auto& ids = plain ? leaf.plain_ids : leaf.group_ids[slot.group];
  if (slot.at + 1 != ids.size()) {  // the last one takes its place
    values[slot.at] = std::move(values.back());
    ids[slot.at] = ids.back();
    slots_[ids[slot.at].v].at = slot.at;
  }
  values.pop_back();
  ids.pop_back();
  if (!plain && ids.empty()) remove_group(leaf, slot.group);
  slots_[id.v] = {nullptr, kPlain, free_};
  free_ = id.v;
  --size_;
  drop_if_empty(leaf);
}

template <class T>
void Sublist<T>::set_value(EntryId id, T value) {
  Slot& s = slots_[id.v];
  invalidate(*s.leaf);
  auto& values = s.group == kPlain ? s.leaf->found.plain : s.leaf->found.groups[s.group].members;
  values[s.at] = std::move(value);
}

template <class T>
EntryId Sublist<T>::take_slot(Leaf& leaf, std::uint32_t group, std::uint32_t at) {
  EntryId id{free_};
  if (free_ != 0xffff'ffffu) {
    free_ = slots_[free_].at;
  } else {
    id = EntryId(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  slots_[id.v] = {&leaf, group, at};
  return id;
}

template <class T>
std::uint32_t Sublist<T>::group_index(Leaf& leaf, std::string_view queue) {
  auto& groups = leaf.found.groups;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].name == queue) return static_cast<std::uint32_t>(i);
  }
  groups.push_back({std::string(queue), {}});
  leaf.group_ids.emplace_back();
  return static_cast<std::uint32_t>(groups.size() - 1);
}

template <class T>
void Sublist<T>::remove_group(Leaf& leaf, std::uint32_t group) {
  auto at = static_cast<std::ptrdiff_t>(group);
  leaf.found.groups.erase(leaf.found.groups.begin() + at);
  leaf.group_ids.erase(leaf.group_ids.begin() + at);
  for (std::size_t g = group; g < leaf.group_ids.size(); ++g) {
    for (EntryId id : leaf.group_ids[g]) slots_[id.v].group = static_cast<std::uint32_t>(g);
  }
}

template <class T>
typename Sublist<T>::Leaf& Sublist<T>::literal_leaf(std::string_view pattern) {
  std::uint64_t hash = hash_subject(pattern, seed_);
  if (Leaf* leaf = literals_.table.find(pattern, hash)) return *leaf;
  auto* leaf = new Leaf;
  leaf->pattern = pattern;
  leaf->hash = hash;
  literals_.table.insert(leaf);
  return *leaf;
}

template <class T>
typename Sublist<T>::Node* Sublist<T>::child_of(Node& node, std::string_view token) {
  if (is_star(token) || is_tail(token)) {
    auto& child = is_star(token) ? node.star : node.tail;
    if (!child) child = std::make_unique<Node>();
    child->parent = &node;
    return child.get();
  }
  std::uint64_t hash = hash_subject(token, seed_);
  if (!node.children) node.children = std::make_unique<NamedTable<Node>>();
  if (Node* child = node.children->find(token, hash)) return child;
  auto* child = new Node;
  child->token = token;
  child->hash = hash;
  child->parent = &node;
  node.children->insert(child);
  return child;
}

template <class T>
typename Sublist<T>::Leaf& Sublist<T>::leaf_of(std::string_view pattern) {
  if (!has_wildcards(pattern)) return literal_leaf(pattern);
  Node* node = &root_;
  Tokens t(pattern);
  while (t.next()) node = child_of(*node, t.token());
  if (!node->leaf) {
    node->leaf = std::make_unique<Leaf>();
    node->leaf->pattern = pattern;
    node->leaf->node = node;
    ++wildcards_;
  }
  return *node->leaf;
}

template <class T>
void Sublist<T>::drop_if_empty(Leaf& leaf) {
  if (!leaf.found.empty()) return;
  if (!leaf.node) {
    literals_.table.erase(&leaf);
    delete &leaf;
    return;
  }
  Node* node = leaf.node;
  node->leaf.reset();
  --wildcards_;
  drop_node_if_empty(node);
}

template <class T>
void Sublist<T>::drop_node_if_empty(Node* node) {
  while (node != &root_ && !node->leaf && !node->star && !node->tail && !node->children) {
    Node* parent = node->parent;
    if (parent->star.get() == node) {
      parent->star.reset();
    } else if (parent->tail.get() == node) {
      parent->tail.reset();
    } else {
      parent->children->erase(node);
      delete node;
      if (parent->children->size() == 0) parent->children.reset();
    }
    node = parent;
  }
}

template <class T>
void Sublist<T>::invalidate(const Leaf& leaf) {
  if (!leaf.node) return cache_.drop(leaf.pattern, leaf.hash);
  std::string_view first = token_at(leaf.pattern, 0);
  if (is_star(first) || is_tail(first)) return cache_.drop_all();
  cache_.drop_first_token(first);
}

template <class T>
bool Sublist<T>::is_well_formed_tokens(std::string_view literal) {
  return !literal.empty() && literal.front() != '.' && literal.back() != '.' &&
         literal.find("..") == std::string_view::npos;
}

template <class T>
template <class F>
bool Sublist<T>::walk(const Node& node, std::string_view rest, F& f) const {
  // Depth is that of the trie, bounded by kSubjectTokensMax.
  Tokens t(rest);
  t.next();
  if (node.children) {
    const Node* child = node.children->find(t.token(), hash_subject(t.token(), seed_));
    if (child && t.last() && child->leaf && !f(*child->leaf)) return false;
    if (child && !t.last() && !walk(*child, t.rest(), f)) return false;
  }
  if (node.star) {
    if (t.last() && node.star->leaf && !f(*node.star->leaf)) return false;
    if (!t.last() && !walk(*node.star, t.rest(), f)) return false;
  }
  return !node.tail || f(*node.tail->leaf);
}

template <class T>
const typename Sublist<T>::Match& Sublist<T>::match(std::string_view literal) {
  const std::uint64_t hash = hash_subject(literal, seed_);
  if (wildcards_ == 0) {
    const Leaf* leaf = literals_.table.find(literal, hash);
    return leaf ? leaf->found : none_;
  }
  if (const Match* kept = cache_.find(literal, hash)) return *kept;
  const Match* only = nullptr;  // the answer while one leaf is all there is
  bool merged = false;
  auto take = [&](const Leaf& leaf) {
    if (!only) {
      only = &leaf.found;
      return true;
    }
    if (!merged) {
      scratch_ = *only;
      merged = true;
    }
    merge(leaf.found, scratch_);
    return true;
  };
  if (const Leaf* leaf = literals_.table.find(literal, hash)) take(*leaf);
  walk_wildcards(literal, take);
  const Match* answer = merged ? &scratch_ : only ? only : &none_;
  if (merged && members(scratch_) > kCachedMembersMax) return *answer;
  if (!cache_.admit(hash)) return *answer;
  std::unique_ptr<Match> own = merged ? std::make_unique<Match>(scratch_) : nullptr;
  cache_.put(literal, hash, answer, std::move(own));
  return *answer;
}

template <class T>
void Sublist<T>::match_uncached(std::string_view literal, Match& out) const {
  out.plain.clear();
  out.groups.clear();
  auto take = [&](const Leaf& leaf) {
    merge(leaf.found, out);
    return true;
  };
  if (const Leaf* leaf = literals_.table.find(literal, hash_subject(literal, seed_))) take(*leaf);
  walk_wildcards(literal, take);
}

template <class T>
bool Sublist<T>::has_interest(std::string_view literal) const {
  if (literals_.table.find(literal, hash_subject(literal, seed_))) return true;
  return !walk_wildcards(literal, [](const Leaf&) { return false; });
}

template <class T>
void Sublist<T>::merge(const Match& from, Match& into) {
  into.plain.insert(into.plain.end(), from.plain.begin(), from.plain.end());
  for (const Group& group : from.groups) {
    auto same = std::find_if(into.groups.begin(), into.groups.end(),
                             [&](const Group& g) { return g.name == group.name; });
    if (same == into.groups.end()) {
      into.groups.push_back(group);
    } else {
      same->members.insert(same->members.end(), group.members.begin(), group.members.end());
    }
  }
}

template <class T>
std::size_t Sublist<T>::members(const Match& m) {
  std::size_t n = m.plain.size();
  for (const Group& g : m.groups) n += g.members.size();
  return n;
}

template <class T>
template <class F>
void Sublist<T>::leaves_below(const Node& node, F& f) {
  if (node.leaf) f(node.leaf.get());
  if (node.children) node.children->for_each([&](const Node* child) { leaves_below(*child, f); });
  if (node.star) leaves_below(*node.star, f);
  if (node.tail) leaves_below(*node.tail, f);
}

template <class T>
template <class Filter, class F>
void Sublist<T>::visit(Filter&& filter, F&& f) const {
  std::vector<const Leaf*> leaves;
  auto take = [&](const Leaf* leaf) {
    if (filter(leaf->pattern)) leaves.push_back(leaf);
  };
  literals_.table.for_each(take);
  leaves_below(root_, take);
  // The tables iterate by hash, which must not show.
  std::sort(leaves.begin(), leaves.end(), [](auto* a, auto* b) { return a->pattern < b->pattern; });
  for (const Leaf* leaf : leaves) {
    for (const T& value : leaf->found.plain) f(std::string_view(leaf->pattern), std::string_view(), value);
    for (const Group& group : leaf->found.groups) {
      for (const T& value : group.members)
        f(std::string_view(leaf->pattern), std::string_view(group.name), value);
    }
  }
}

}  // namespace weir::subject
