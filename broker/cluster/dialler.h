// broker/cluster/dialler.h - which addresses to dial, and when.
//
// Room:    shell over env::Transport, Loop. Thread: the shard. Owner: MeshCore.
// Targets: addresses of cluster.routes, for ever; addresses that peers told, until they have been useless
//          for kForgetAfter. Two spellings of one address are two targets.
// Idle:    a target that leads to this node, or to a node that has a link, is not dialled. A configured one
//          is dialled until it was reached once, so that founding knows who it is (ADR 4).
// Backoff: doubles from redial_min to redial_max, with jitter, so that two nodes do not stay in step.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "broker/base/prng.h"
#include "broker/cluster/mesh.h"
#include "broker/cluster/route_url.h"

namespace weir::cluster {

class Dialler {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual bool has_link(NodeId node) const = 0;
    /// A connection to `target`; ended(target) is due when it is over.
    virtual void dialled(const std::string& target, std::unique_ptr<env::Connection> connection) = 0;
  };
  static constexpr Nanos kForgetAfter = kHour;

  Dialler(env::Env& env, const MeshTuning& tuning, Owner& owner);
  ~Dialler();
  Dialler(const Dialler&) = delete;
  Dialler& operator=(const Dialler&) = delete;

  /// Errors: those of parse_route_url.
  Status add_route(std::string_view url);
  /// An address that a node has by hearsay; unusable ones are ignored. Starts to dial it if need be.
  void learn(NodeId node, const std::string& url);
  void start();
  void stop();

  /// User and password for `target`; empty ones when its URL has none.
  RouteUrl target(const std::string& target) const;
  bool is_route(NodeId node) const;

  /// Who is there. `self`: it is this node.
  void reached(const std::string& target, NodeId node, bool self = false);
  /// Its link is up: the next loss is a new story.
  void link_up(const std::string& target);
  /// The connection that dialled() gave is over. `why` "" = nothing to say.
  void ended(const std::string& target, const std::string& why);
  /// There is no link to `node` any more.
  void link_lost(NodeId node);

  Mesh::Seeds seeds() const;

 private:
  struct Target {
    RouteUrl url;
    bool configured = false;
    bool self = false;
    bool busy = false;  // dialling, or its connection lives
    NodeId node;        // who answered last, or who should be there; 0 = not known
    unsigned failures = 0;
    env::TimerId timer = 0;
    Mono useful;           // last time it was reached or told
    std::string last_why;  // not logged again
  };
  using Targets = std::map<std::string, Target>;

  bool wanted(const Target& t) const;
  void schedule(const std::string& key, Target& t, Nanos delay);
  void dial(const std::string& key);
  void failed(const std::string& key, Target& t, const std::string& why);
  Nanos backoff(const Target& t);

  env::Env& env_;
  const MeshTuning& tuning_;
  Owner& owner_;
  Prng prng_;
  Targets targets_;
  bool running_ = false;
  std::shared_ptr<Dialler*> self_;  // completions of dials hold it weakly
};

}  // namespace weir::cluster
