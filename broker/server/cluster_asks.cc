#include "broker/server/cluster_asks.h"

#include <map>

#include "broker/base/varint.h"
#include "broker/server/cluster_side.h"
#include "broker/server/group_view.h"
#include "broker/server/jetstream.h"

namespace weir::server {

namespace {
constexpr Nanos kTimeout = 2 * kSecond;
constexpr Nanos kRefresh = kSecond;

bool limited(const Account& a) {
  return a.jetstream &&
         (a.js_limits.max_store >= 0 || a.js_limits.max_memory >= 0 || a.js_limits.max_consumers >= 0);
}
}  // namespace

NodeUsage& NodeUsage::operator+=(const NodeUsage& o) {
  file_bytes += o.file_bytes;
  memory_bytes += o.memory_bytes;
  consumers += o.consumers;
  api_total += o.api_total;
  api_errors += o.api_errors;
  return *this;
}

ClusterAsks::ClusterAsks(env::Env& env, JetStream& js) : env_(env), js_(js) {
  cluster::Mesh& mesh = js_.context().cluster->mesh();
  std::weak_ptr<int> alive = alive_;
  mesh.handle(cluster::Method::kUsage, [this, alive](NodeId, const Bytes& body, cluster::Mesh::Reply reply) {
    if (!alive.expired()) serve_usage(body, std::move(reply));
  });
  mesh.handle(cluster::Method::kGroupsSafe,
              [this, alive](NodeId from, const Bytes&, cluster::Mesh::Reply reply) {
                if (!alive.expired()) serve_groups(from, std::move(reply));
              });
  arm();
}

ClusterAsks::~ClusterAsks() {
  env_.loop.cancel(timer_);
}

// ---- what an account uses ----------------------------------------------------------------------

NodeUsage ClusterAsks::own_usage(const Account& account) const {
  NodeUsage u;
  u.file_bytes = account.js_file_bytes;
  u.memory_bytes = account.js_memory_bytes;
  u.consumers = js_.led_consumers(account);
  u.api_total = account.api_total;
  u.api_errors = account.api_errors;
  return u;
}

void ClusterAsks::serve_usage(const Bytes& body, cluster::Mesh::Reply reply) {
  Reader in(body.span());
  std::string name(in.string());
  const Account* account = js_.find_account(name);
  NodeUsage u;
  if (account) u = own_usage(*account);
  BytesBuilder out;
  for (std::uint64_t v : {u.file_bytes, u.memory_bytes, u.consumers, u.api_total, u.api_errors})
    out.append_varint(v);
  reply(out.freeze());
}

struct ClusterAsks::Gathering {
  NodeUsage sum;
  std::size_t open = 0;
  std::function<void(const NodeUsage&)> done;
};

void ClusterAsks::ask_usage(const std::string& account, std::function<void(const NodeUsage&)> done) {
  cluster::Mesh& mesh = js_.context().cluster->mesh();
  auto g = std::make_shared<Gathering>();
  g->done = std::move(done);
  std::vector<cluster::NodeInfo> peers = mesh.peers();
  std::erase_if(peers, [](const auto& p) { return !p.jetstream; });
  g->open = peers.size();
  if (peers.empty()) return g->done(g->sum);
  for (const auto& peer : peers) {
    BytesBuilder q;
    q.append_string(account);
    mesh.ask(peer.id, cluster::Method::kUsage, q.freeze(), kTimeout,
             [g, alive = std::weak_ptr<int>(alive_)](Result<Bytes> answer) {
               if (alive.expired()) return;
               if (answer) {
                 Reader in(answer->span());
                 NodeUsage u;
                 for (auto* v : {&u.file_bytes, &u.memory_bytes, &u.consumers, &u.api_total, &u.api_errors})
                   *v = in.varint();
                 if (in.ok()) g->sum += u;
               }
               if (--g->open == 0) g->done(g->sum);
             });
  }
}

void ClusterAsks::usage(const Account& account, std::function<void(const NodeUsage&)> done) {
  ask_usage(account.name, [this, &account, done = std::move(done)](const NodeUsage& others) {
    NodeUsage all = own_usage(account);
    all += others;
    done(all);
  });
}

void ClusterAsks::arm() {
  timer_ = env_.loop.at(env_.clock.now() + kRefresh, [this] {
    refresh();
    arm();
  });
}

void ClusterAsks::refresh() {
  js_.for_each_account([this](Account& a) {
    if (!limited(a)) return;
    ask_usage(a.name, [&a](const NodeUsage& others) {
      a.js_others_file_bytes = others.file_bytes;
      a.js_others_memory_bytes = others.memory_bytes;
      a.js_others_consumers = others.consumers;
    });
  });
}

// ---- may this node be stopped ----------------------------------------------------------------------

namespace {
template <class Visit>
void each_group(JetStream& js, Visit visit) {
  visit(jetstream::kMetaGroup, js.meta().group());
  for (StreamHost* s : js.all_streams()) visit(s->group_id(), s->group());
}

bool votes_alone(const replica::Group& group) {
  return group.conf().voters.size() == 1 && group.conf().outgoing.empty();
}
}  // namespace

// Groups led here that `from` is a member of: varint count, then group and 0 or 1 for each.
void ClusterAsks::serve_groups(NodeId from, cluster::Mesh::Reply reply) {
  std::vector<std::pair<GroupId, bool>> found;
  each_group(js_, [&](GroupId id, const replica::Group& group) {
    if (group.leading()) found.emplace_back(id, safe_without(group, from, *js_.context().cluster));
  });
  BytesBuilder out;
  out.append_varint(found.size());
  for (const auto& [id, safe] : found) {
    out.append_varint(id.v);
    out.append_u8(safe ? 1 : 0);
  }
  reply(out.freeze());
}

struct ClusterAsks::StopCheck {
  std::vector<StopHindrance> found;
  std::size_t open = 1;  // the question itself, until all are asked
  std::function<void(std::vector<StopHindrance>)> done;
  void closed() {
    if (--open == 0) done(std::move(found));
  }
};

StopHindrance ClusterAsks::hindrance(GroupId group, std::string why) const {
  if (group == jetstream::kMetaGroup) return {{}, {}, "meta group " + why};
  const auto* s = js_.meta().state().find(group);
  if (!s) return {{}, {}, "group " + std::to_string(group.v) + " " + why};
  return {s->account, s->config.name, "stream '" + s->account + " > " + s->config.name + "' " + why};
}

void ClusterAsks::safe_to_stop(std::function<void(std::vector<StopHindrance>)> done) {
  const ClusterSide& cluster = *js_.context().cluster;
  auto check = std::make_shared<StopCheck>();
  check->done = std::move(done);
  std::map<NodeId, std::vector<GroupId>> elsewhere;
  each_group(js_, [&](GroupId id, const replica::Group& group) {
    if (votes_alone(group) || group.why_stopped()) return;  // gains nothing by waiting
    NodeId leader = group.leading() ? js_.self() : cluster.leader_of(id);
    if (leader == js_.self()) {
      if (!safe_without(group, js_.self(), cluster))
        check->found.push_back(hindrance(id, "would be without a majority that is up to date"));
    } else if (leader.v == 0) {
      check->found.push_back(hindrance(id, "has no leader"));
    } else {
      elsewhere[leader].push_back(id);
    }
  });
  for (auto& [leader, groups] : elsewhere) ask_leader(leader, std::move(groups), check);
  check->closed();
}

void ClusterAsks::ask_leader(NodeId leader, std::vector<GroupId> groups, std::shared_ptr<StopCheck> check) {
  ++check->open;
  js_.context().cluster->mesh().ask(
      leader, cluster::Method::kGroupsSafe, Bytes(), kTimeout,
      [this, leader, check, groups = std::move(groups),
       alive = std::weak_ptr<int>(alive_)](Result<Bytes> answer) {
        if (alive.expired()) return;
        std::map<GroupId, bool> safe;
        if (answer) {
          Reader in(answer->span());
          for (std::uint64_t n = in.varint(); n > 0 && in.ok(); --n) {
            GroupId id(static_cast<std::uint32_t>(in.varint()));
            safe[id] = in.u8() != 0;
          }
        }
        for (GroupId id : groups) {
          auto it = safe.find(id);
          if (it == safe.end()) {
            std::string name = js_.context().cluster->name_of(leader);
            check->found.push_back(hindrance(id, "is not known to be safe: no answer from " + name));
          } else if (!it->second) {
            check->found.push_back(hindrance(id, "would be without a majority that is up to date"));
          }
        }
        check->closed();
      });
}

}  // namespace weir::server
