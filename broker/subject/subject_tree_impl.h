// broker/subject/subject_tree_impl.h - bodies of SubjectTree; included by subject_tree.h only.
// !allow-size: bodies of one template, which change together.
//
// Every make_*() may move slab memory: views into blocks are taken again after it.
#pragma once

#include <algorithm>

#include "broker/subject/subject_tree.h"

namespace weir::subject {

template <class V>
typename SubjectTree<V>::Ref SubjectTree<V>::get(Place place) {
  if (place.node == 0) return root_;
  NodeView n = node(place.node);
  return place.index == kOwn ? n.own() : n.child(place.index);
}

template <class V>
void SubjectTree<V>::set(Place place, Ref r) {
  if (place.node == 0) {
    root_ = r;
    return;
  }
  NodeView n = node(place.node);
  if (place.index == kOwn) {
    n.set_own(r);
  } else {
    n.set_child(place.index, r);
  }
}

template <class V>
typename SubjectTree<V>::Ref SubjectTree<V>::make_leaf(const V& value, std::string_view suffix) {
  Ref h = slab_.allocate(kLeafHead + suffix.size());
  CHECK(h != 0, "address space checked by the caller");
  std::uint8_t* p = slab_.at(h);
  std::memcpy(p, &value, sizeof(V));
  store16(p + sizeof(V), suffix.size());
  if (!suffix.empty()) std::memcpy(p + kLeafHead, suffix.data(), suffix.size());
  return h | kLeaf;
}

template <class V>
void SubjectTree<V>::free_leaf(Ref r) {
  slab_.release(r & ~kLeaf, kLeafHead + leaf_suffix(r).size());
}

template <class V>
typename SubjectTree<V>::Ref SubjectTree<V>::make_node(std::size_t cls, std::string_view prefix) {
  std::size_t bytes = node_bytes(cls, prefix.size());
  Ref h = slab_.allocate(bytes);
  CHECK(h != 0, "address space checked by the caller");
  std::uint8_t* p = slab_.at(h);
  std::memset(p, 0, bytes - prefix.size());
  store16(p, prefix.size());
  p[2] = static_cast<std::uint8_t>(cls);
  p[3] = 0xff;  // no child yet: put_child() makes it 0, which means one
  if (!prefix.empty()) std::memcpy(NodeView{p}.prefix_data(), prefix.data(), prefix.size());
  return h;
}

template <class V>
void SubjectTree<V>::free_node(Ref r) {
  NodeView n = node(r);
  slab_.release(r, node_bytes(n.cls(), n.prefix_bytes()));
}

template <class V>
typename SubjectTree<V>::Ref SubjectTree<V>::remake_node(Ref r, std::size_t cls, std::string_view prefix) {
  Ref made = make_node(cls, prefix);
  NodeView from = node(r), to = node(made);
  to.set_own(from.own());
  for (std::size_t i = 0; i < from.slots(); ++i) {
    if (from.child(i)) put_child(made, from.key(i), from.child(i));
  }
  free_node(r);
  return made;
}

/// There must be room: the caller chose the class.
template <class V>
void SubjectTree<V>::put_child(Ref r, char key, Ref child) {
  NodeView n = node(r);
  auto byte = static_cast<unsigned char>(key);
  std::size_t count = static_cast<std::uint8_t>(n.p[3] + 1);  // 0 for a fresh node
  if (n.full()) {
    n.set_child(byte, child);
  } else {
    std::uint8_t* keys = n.keys();
    std::size_t at = static_cast<std::size_t>(std::lower_bound(keys, keys + count, byte) - keys);
    std::memmove(keys + at + 1, keys + at, count - at);
    std::uint8_t* children = n.p + kHead;
    std::memmove(children + 4 * (at + 1), children + 4 * at, 4 * (count - at));
    keys[at] = byte;
    n.set_child(at, child);
  }
  n.p[3] = static_cast<std::uint8_t>(n.p[3] + 1);
}

/// The node keeps at least one child.
template <class V>
void SubjectTree<V>::drop_child(Ref r, std::size_t index) {
  NodeView n = node(r);
  std::size_t count = n.count();
  if (n.full()) {
    n.set_child(index, 0);
  } else {
    std::uint8_t *keys = n.keys(), *children = n.p + kHead;
    std::memmove(keys + index, keys + index + 1, count - index - 1);
    std::memmove(children + 4 * index, children + 4 * (index + 1), 4 * (count - index - 1));
  }
  n.p[3] = static_cast<std::uint8_t>(count - 2);
}

template <class V>
V* SubjectTree<V>::find(std::string_view rest) {
  Ref r = root_;
  while (r) {
    if (is_leaf(r)) return leaf_suffix(r) == rest ? leaf_value(r) : nullptr;
    NodeView n = node(r);
    if (!rest.starts_with(n.prefix())) return nullptr;
    rest.remove_prefix(n.prefix_bytes());
    if (rest.empty()) return n.own() ? leaf_value(n.own()) : nullptr;
    std::size_t i = n.find(rest[0]);
    if (i == kNone) return nullptr;
    r = n.child(i);
    rest.remove_prefix(1);
  }
  return nullptr;
}

template <class V>
V* SubjectTree<V>::find_or_insert(std::string_view rest, const V& initial) {
  if (rest.size() > kKeyBytesMax || !slab_.has_room(kSpareChunks)) return find(rest);
  Place place;
  while (true) {
    Ref r = get(place);
    if (r == 0) {
      Ref made = make_leaf(initial, rest);
      set(place, made);
      ++size_;
      return leaf_value(made);
    }
    if (is_leaf(r)) return leaf_suffix(r) == rest ? leaf_value(r) : split_leaf(place, rest, initial);
    NodeView n = node(r);
    std::string_view prefix = n.prefix();
    std::size_t common = static_cast<std::size_t>(
        std::mismatch(prefix.begin(), prefix.end(), rest.begin(), rest.end()).first - prefix.begin());
    if (common < prefix.size()) return split_node(place, rest, common, initial);
    rest.remove_prefix(common);
    if (rest.empty()) {
      place = {r, kOwn};
      continue;
    }
    std::size_t i = n.find(rest[0]);
    if (i == kNone) return add_child(place, rest, initial);
    place = {r, i};
    rest.remove_prefix(1);
  }
}

template <class V>
V* SubjectTree<V>::add_child(Place place, std::string_view rest, const V& initial) {
  Ref made = make_leaf(initial, rest.substr(1));
  Ref r = get(place);
  NodeView n = node(r);
  if (n.count() == n.cap()) {
    std::string prefix(n.prefix());  // its block may move while the new one is made
    r = remake_node(r, n.cls() + 1, prefix);
    set(place, r);
  }
  put_child(r, rest[0], made);
  ++size_;
  return leaf_value(made);
}

/// The leaf at `place` and the new key part after some common bytes: a node with both.
template <class V>
V* SubjectTree<V>::split_leaf(Place place, std::string_view rest, const V& initial) {
  Ref old = get(place);
  const V value = *leaf_value(old);
  const std::string suffix(leaf_suffix(old));
  std::size_t common = static_cast<std::size_t>(
      std::mismatch(suffix.begin(), suffix.end(), rest.begin(), rest.end()).first - suffix.begin());
  free_leaf(old);
  bool old_ends = common == suffix.size(), new_ends = common == rest.size();
  Ref kept = make_leaf(value, old_ends ? std::string_view() : std::string_view(suffix).substr(common + 1));
  Ref made = make_leaf(initial, new_ends ? std::string_view() : rest.substr(common + 1));
  Ref parent = make_node(class_for(old_ends || new_ends ? 1 : 2), rest.substr(0, common));
  if (old_ends) node(parent).set_own(kept);
  if (new_ends) node(parent).set_own(made);
  if (!old_ends) put_child(parent, suffix[common], kept);
  if (!new_ends) put_child(parent, rest[common], made);
  set(place, parent);
  ++size_;
  return leaf_value(made);
}

/// The key leaves the node's prefix after `common` bytes: a new node above it.
template <class V>
V* SubjectTree<V>::split_node(Place place, std::string_view rest, std::size_t common, const V& initial) {
  Ref old = get(place);
  const std::string prefix(node(old).prefix());
  bool new_ends = common == rest.size();
  Ref made = make_leaf(initial, new_ends ? std::string_view() : rest.substr(common + 1));
  Ref parent = make_node(class_for(new_ends ? 1 : 2), std::string_view(prefix).substr(0, common));
  Ref kept = remake_node(old, node(old).cls(), std::string_view(prefix).substr(common + 1));
  put_child(parent, prefix[common], kept);
  if (new_ends) {
    node(parent).set_own(made);
  } else {
    put_child(parent, rest[common], made);
  }
  set(place, parent);
  ++size_;
  return leaf_value(made);
}

template <class V>
bool SubjectTree<V>::erase(std::string_view rest) {
  Place above, place;  // of the node that holds the leaf, and of the leaf in it
  Ref r = root_;
  while (r && !is_leaf(r)) {
    NodeView n = node(r);
    if (!rest.starts_with(n.prefix())) return false;
    rest.remove_prefix(n.prefix_bytes());
    above = place;
    std::size_t i = rest.empty() ? kOwn : n.find(rest[0]);
    if (i == kNone) return false;
    if (i != kOwn) rest.remove_prefix(1);
    place = {r, i};
    r = get(place);
  }
  if (!r || leaf_suffix(r) != rest) return false;
  free_leaf(r);
  --size_;
  if (place.node == 0 || place.index == kOwn) {
    set(place, 0);
  } else if (node(place.node).count() > 1) {
    drop_child(place.node, place.index);
  } else {
    // The only child goes, so there is an own value: the node becomes a leaf.
    NodeView n = node(place.node);
    const std::string prefix(n.prefix());
    Ref own = n.own();
    const V value = *leaf_value(own);
    free_leaf(own);
    free_node(place.node);
    Ref made = make_leaf(value, prefix);
    set(above, made);
    return true;
  }
  if (place.node != 0) after_removal(above);
  if (size_ == 0) clear();
  return true;
}

/// The node at `place` lost a child or its own value: joins it with an only child, or shrinks it.
template <class V>
void SubjectTree<V>::after_removal(Place place) {
  Ref r = get(place);
  NodeView n = node(r);
  if (n.own() || n.count() > 1) {
    // Two classes of slack, so that a subject that comes and goes does not copy each time.
    if (n.cls() > 1 && n.count() <= kCaps[n.cls() - 2]) {
      const std::string prefix(n.prefix());
      Ref made = remake_node(r, n.cls() - 1, prefix);
      set(place, made);
    }
    return;
  }
  std::size_t i = 0;
  while (!n.child(i)) ++i;
  Ref child = n.child(i);
  std::string joined(n.prefix());
  joined += n.key(i);
  free_node(r);
  if (is_leaf(child)) {
    const V value = *leaf_value(child);
    joined += leaf_suffix(child);
    free_leaf(child);
    Ref made = make_leaf(value, joined);
    set(place, made);
  } else {
    joined += node(child).prefix();
    Ref made = remake_node(child, node(child).cls(), joined);
    set(place, made);
  }
}

template <class V>
void SubjectTree<V>::clear() {
  slab_.clear();
  root_ = 0;
  size_ = 0;
}

template <class V>
template <class F>
bool SubjectTree<V>::visit(std::string_view pattern, F&& f) {
  return walk(PatternWalk(pattern), f);
}

template <class V>
template <class F>
bool SubjectTree<V>::walk(PatternWalk start, F& f) {
  // Own stack: the depth is up to one node per byte of a subject, which clients choose.
  std::vector<Frame> stack;
  std::string key;
  // Looks at what `r` refers to, with `key` and `state` before it.
  auto enter = [&](Ref r, PatternWalk state) {
    if (is_leaf(r)) {
      std::string_view suffix = leaf_suffix(r);
      if (!state.step(suffix) || !state.accepts()) return true;
      std::size_t bytes = key.size();
      key += suffix;
      bool go_on = f(std::string_view(key), *leaf_value(r));
      key.resize(bytes);
      return go_on;
    }
    std::string_view prefix = node(r).prefix();
    if (!state.step(prefix)) return true;
    key += prefix;
    stack.push_back({r, kOwn, key.size(), state});
    return true;
  };
  if (root_ && !enter(root_, start)) return false;
  while (!stack.empty()) {
    Frame& top = stack.back();
    NodeView n = node(top.node);
    key.resize(top.key_bytes);
    if (top.next == kOwn) {
      char only = 0;
      top.next = 0;
      bool one_way = top.walk.only_next(only);
      PatternWalk state = top.walk;
      if (one_way) stack.pop_back();  // at most one child can match: nothing to come back for
      if (n.own() && !enter(n.own(), state)) return false;
      if (!one_way) continue;
      std::size_t i = n.find(only);
      if (i == kNone || !state.step(only)) continue;
      key += only;
      if (!enter(n.child(i), state)) return false;
      continue;
    }
    if (top.next == n.slots()) {
      stack.pop_back();
      continue;
    }
    std::size_t i = top.next++;
    PatternWalk state = top.walk;
    if (!n.child(i) || !state.step(n.key(i))) continue;
    key += n.key(i);
    if (!enter(n.child(i), state)) return false;
  }
  return true;
}

}  // namespace weir::subject
