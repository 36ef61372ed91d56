#include "broker/server/state_transfer.h"

#include "broker/base/varint.h"
#include "broker/raft/confchange.h"
#include "broker/server/cluster_side.h"
#include "broker/server/jetstream.h"
#include "broker/store/mem_store.h"

namespace weir::server {

namespace {
constexpr std::size_t kPageBytes = 512u << 10;
constexpr std::size_t kPageMessages = 20'000;
constexpr Nanos kTimeout = 5 * kSecond;
constexpr Nanos kMembersTimeout = 2 * kSecond;
}  // namespace

// ---- answers ---------------------------------------------------------------------------------

StateServer::StateServer(cluster::Mesh& mesh, JetStream& js) : js_(js) {
  using cluster::Method;
  auto on = [&](Method method, auto handler) {
    mesh.handle(method, [handler, alive = std::weak_ptr<int>(alive_)](NodeId, const Bytes& body,
                                                                      cluster::Mesh::Reply reply) {
      if (!alive.expired()) handler(body, std::move(reply));
    });
  };
  on(Method::kStreamState, [this](const Bytes& body, auto reply) { stream_state(body, std::move(reply)); });
  on(Method::kMetaState, [this](const Bytes&, auto reply) { meta_state(std::move(reply)); });
  on(Method::kGroupMembers, [this](const Bytes& body, auto reply) { group_members(body, std::move(reply)); });
}

namespace {
Bytes join_slices(const std::vector<Bytes>& slices) {
  BytesBuilder out;
  for (const Bytes& b : slices) out.append(b.span());
  return out.freeze();
}
}  // namespace

void StateServer::stream_state(const Bytes& body, cluster::Mesh::Reply reply) {
  auto q = decode_state_request(body.span());
  if (!q) return reply(q.error());
  StreamHost* host = js_.find(q->group);
  if (!host) return reply(Error(Code::kNotFound, "the group is not here"));
  auto page = host->state_page(q->from, kPageBytes, kPageMessages);
  if (!page) return reply(page.error());
  reply(join_slices(encode_state_page(*page)));
}

void StateServer::meta_state(cluster::Mesh::Reply reply) {
  std::string state = js_.meta().state_for_peer();
  if (state.empty()) return reply(Error(Code::kUnavailable, "no state of the meta group to give now"));
  reply(Bytes::copy_of(state));
}

void StateServer::group_members(const Bytes& body, cluster::Mesh::Reply reply) {
  Reader r(body.span());
  GroupId group(static_cast<std::uint32_t>(r.varint()));
  std::uint64_t revision = r.left() > 0 ? r.varint() : 0;
  if (!r.done()) return reply(Error(Code::kInvalid, "question for members: malformed"));
  const auto* s = js_.meta().state().find(group);
  if (!s || s->peers_revision < revision)
    return reply(Error(Code::kUnavailable, "that change of replicas is not known here yet"));
  members_here(js_, group, std::move(reply));
}

void StateServer::ask_members(JetStream& js, const MembersAsked& asked, cluster::Mesh::Reply done) {
  if (asked.leader == js.self()) return members_here(js, asked.group, std::move(done));
  BytesBuilder q;
  q.append_varint(asked.group.v);
  if (asked.revision > 0) q.append_varint(asked.revision);
  js.context().cluster->mesh().ask(asked.leader, cluster::Method::kGroupMembers, q.freeze(), kMembersTimeout,
                                   std::move(done));
}

Result<Bytes> StateServer::members(JetStream& js, GroupId group) {
  StreamHost* host = js.find(group);
  if (!host || !host->group().leads_for_sure()) return Error(Code::kNotFound, "the group is not led here");
  if (host->group().conf() != host->group().applied_conf())
    return Error(Code::kUnavailable, "a change of members is under way");
  // Whoever leads after this one knows from the log which replicas are wanted.
  const auto* s = js.meta().state().find(group);
  if (!s || host->machine().config_revision() < s->peers_revision)
    return Error(Code::kUnavailable, "a change of replicas is not in the log yet");
  return raft::encode_conf(host->group().conf());
}

void StateServer::members_here(JetStream& js, GroupId group, cluster::Mesh::Reply done) {
  StreamHost* host = js.find(group);
  if (!host || !host->group().leading() || host->group().leads_for_sure()) return done(members(js, group));
  host->group().read_point([&js, group, done = std::move(done)](bool) mutable { done(members(js, group)); });
}

// ---- fetching --------------------------------------------------------------------------------

StateFetch::StateFetch(JsContext& js, GroupId group, NodeId from, Done done)
    : js_(js),
      group_(group),
      from_(from),
      done_(std::move(done)),
      self_(std::make_shared<StateFetch*>(this)) {}

void StateFetch::start(std::optional<Files> files) {
  if (!files) {
    store_ = std::make_unique<store::MemStore>();
    return ask();
  }
  store::FileStore::discard(js_.env.disk, *js_.catalog, js_.env.log, files->fresh,
                            [self = std::weak_ptr<StateFetch*>(self_), files](const Status& s) {
                              auto f = self.lock();
                              if (!f || !*f) return;
                              if (!s) return (*f)->fail(s.error());
                              if (files->served) return (*f)->inherit(*files);
                              (*f)->open_and_ask(files->fresh);
                            });
}

// Where it does not work (a file system without links, the first checkpoint still to come), all is sent.
void StateFetch::inherit(const Files& files) {
  store::FileStore::inherit(js_.env.disk, *js_.catalog, *files.served, files.fresh,
                            [self = std::weak_ptr<StateFetch*>(self_), files](const Status& s) {
                              auto f = self.lock();
                              if (!f || !*f) return;
                              if (s) return (*f)->open_and_ask(files.fresh);
                              (*f)->js_.env.log.info("state of group " + std::to_string(files.fresh.group.v) +
                                                     ": all is fetched: " + s.error().detail);
                              (*f)->start(Files{files.fresh, std::nullopt});
                            });
}

void StateFetch::open_and_ask(const store::FileStore::Options& file) {
  auto opened = store::FileStore::open(js_.env.disk, *js_.catalog, *js_.cache, js_.env.log, file);
  if (!opened) {
    sound_ = false;
    return fail(opened.error());
  }
  file_ = opened->get();
  store_ = std::move(*opened);
  ask();
}

void StateFetch::go_on(Half half) {
  store_ = std::move(half.store);
  file_ = half.file;
  ask();
}

StateFetch::Half StateFetch::take_half() {
  if (!sound_ || (file_ && (file_->checkpointing() || file_->damaged()))) return {};
  return {std::move(store_), std::exchange(file_, nullptr)};
}

void StateFetch::ask() {
  Bytes body = encode_state_request({group_, store_->state().last_seq + 1});
  js_.cluster->mesh().ask(
      node_of(from_), cluster::Method::kStreamState, std::move(body), kTimeout,
      [self = std::weak_ptr<StateFetch*>(self_)](Result<Bytes> answer) {
        auto f = self.lock();
        if (f && *f) (*f)->on_page(std::move(answer));
      },
      cluster::Lane::kBulk);
}

void StateFetch::on_page(Result<Bytes> answer) {
  if (!answer) return fail(answer.error());
  auto page = decode_state_page(*answer);
  if (!page) return fail(page.error());
  messages_ += page->messages.size();
  Status fits = fill_from_page(*store_, *page);
  if (fits && page->final) fits = cut_to_page(*store_, *page);
  if (!fits) {
    sound_ = false;
    return fail(fits.error());
  }
  if (page->final) {
    last_ = std::move(*page);
    js_.env.loop.post([self = std::weak_ptr<StateFetch*>(self_)] {
      auto f = self.lock();
      if (!f || !*f) return;
      StateFetch& me = **f;
      auto done = std::move(me.done_);
      done(Arrived{std::move(me.store_), me.file_, std::move(me.last_), me.messages_});
    });
    return;
  }
  if (!file_ || file_->unflushed_bytes() < js_.tuning.tail_bytes_max) return ask();
  file_->checkpoint({}, [self = std::weak_ptr<StateFetch*>(self_)](Status s) {
    auto f = self.lock();
    if (!f || !*f) return;
    if (!s) return (*f)->fail(s.error());
    (*f)->ask();
  });
}

void StateFetch::fail(Error why) {
  js_.env.loop.post([self = std::weak_ptr<StateFetch*>(self_), why] {
    auto f = self.lock();
    if (!f || !*f) return;
    auto done = std::move((*f)->done_);
    done(why);
  });
}

}  // namespace weir::server
