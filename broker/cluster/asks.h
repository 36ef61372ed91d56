// broker/cluster/asks.h - questions to peers that have no answer yet.
//
// Room:    shell over env::Loop. Thread: the shard. Owner: MeshCore.
// Once:    every Answer is called once, in a turn after the question: with the answer, when its time is
//          over, or when its link ends. Destroying this object forgets those that are left.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "broker/cluster/mesh.h"

namespace weir::cluster {

class Asks {
 public:
  explicit Asks(env::Env& env) : env_(env) {}
  ~Asks();
  Asks(const Asks&) = delete;
  Asks& operator=(const Asks&) = delete;

  std::uint64_t next_id() { return ++last_; }
  /// `rid`: the link that carries it.
  void add(std::uint64_t id, std::uint64_t rid, Nanos timeout, Mesh::Answer done);
  /// False: nobody waits for it any more, or it went over another link.
  bool answer(std::uint64_t id, std::uint64_t rid, Result<Bytes> result);
  /// Fails what went over the link; calls the answers now.
  void link_ended(std::uint64_t rid);
  /// Fails everything, in a later turn.
  void fail_all_later(const char* why);

 private:
  struct Pending {
    std::uint64_t rid;
    env::TimerId timer;
    Mesh::Answer done;
  };
  void finish(std::map<std::uint64_t, Pending>::iterator it, Result<Bytes> result);

  env::Env& env_;
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, Pending> pending_;
};

}  // namespace weir::cluster
