#include "broker/cluster/asks.h"

#include <utility>
#include <vector>

namespace weir::cluster {

Asks::~Asks() {
  for (auto& [id, p] : pending_) env_.loop.cancel(p.timer);
}

void Asks::add(std::uint64_t id, std::uint64_t rid, Nanos timeout, Mesh::Answer done) {
  env::TimerId timer = env_.loop.at(env_.clock.now() + timeout, [this, id] {
    auto it = pending_.find(id);
    if (it != pending_.end()) finish(it, Error(Code::kUnavailable, "no answer in time"));
  });
  pending_.emplace(id, Pending{rid, timer, std::move(done)});
}

bool Asks::answer(std::uint64_t id, std::uint64_t rid, Result<Bytes> result) {
  auto it = pending_.find(id);
  if (it == pending_.end() || it->second.rid != rid) return false;
  finish(it, std::move(result));
  return true;
}

void Asks::finish(std::map<std::uint64_t, Pending>::iterator it, Result<Bytes> result) {
  env_.loop.cancel(it->second.timer);
  Mesh::Answer done = std::move(it->second.done);
  pending_.erase(it);
  done(std::move(result));
}

void Asks::link_ended(std::uint64_t rid) {
  std::vector<std::uint64_t> ids;
  for (auto& [id, p] : pending_) {
    if (p.rid == rid) ids.push_back(id);
  }
  for (std::uint64_t id : ids) (void)answer(id, rid, Error(Code::kUnavailable, "the link broke"));
}

void Asks::fail_all_later(const char* why) {
  for (auto& [id, p] : std::exchange(pending_, {})) {
    env_.loop.cancel(p.timer);
    env_.loop.post([done = std::move(p.done), why]() mutable { done(Error(Code::kUnavailable, why)); });
  }
}

}  // namespace weir::cluster
