#include "broker/server/state_transfer.h"

#include <algorithm>

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
constexpr Nanos kWatchIdle = 10 * kSecond;
constexpr unsigned kBegunAnewMax = 8;
}  // namespace

// ---- answers ---------------------------------------------------------------------------------

// The numbers of cuts go on from start to start: an asker that missed one must not take a cut of this life
// for a later part of one of the life before.
StateServer::StateServer(cluster::Mesh& mesh, JetStream& js) : js_(js), cuts_((js.boot() << 32) + 1) {
  using cluster::Method;
  auto on = [&](Method method, auto handler) {
    mesh.handle(method, [handler, alive = std::weak_ptr<int>(alive_)](NodeId from, const Bytes& body,
                                                                      cluster::Mesh::Reply reply) {
      if (!alive.expired()) handler(from, body, std::move(reply));
    });
  };
  on(Method::kStreamState,
     [this](NodeId from, const Bytes& body, auto reply) { reply(stream_state(from, body)); });
  on(Method::kMetaState, [this](NodeId, const Bytes&, auto reply) { meta_state(std::move(reply)); });
  on(Method::kGroupMembers,
     [this](NodeId, const Bytes& body, auto reply) { group_members(body, std::move(reply)); });
}

namespace {
Bytes join_slices(const std::vector<Bytes>& slices) {
  BytesBuilder out;
  for (const Bytes& b : slices) out.append(b.span());
  return out.freeze();
}
}  // namespace

Result<Bytes> StateServer::stream_state(NodeId asker, const Bytes& body) {
  ASSIGN_OR_RETURN(auto q, decode_state_request(body.span()));
  StreamHost* host = js_.find(q.group);
  if (!host) return {Code::kNotFound, "the group is not here"};
  return state_page(asker, q, *host);
}

// A cut that is not here any more is no error: the asker gets what came since, and the cut as it is then.
Result<Bytes> StateServer::state_page(NodeId asker, const StateRequest& q, StreamHost& host) {
  JsContext& js = js_.context();
  StatePage page;
  if (q.cut != 0 && host.gives_state())
    page.part = cuts_.next(asker, q, js.tuning.state_part_bytes, js.env.clock.now());
  if (!page.part) {
    cuts_.drop(asker, q.group);
    ASSIGN_OR_RETURN(auto found, host.state_messages(q.from, kPageBytes, kPageMessages));
    page.messages = std::move(found.messages);
    if (found.end) RETURN_IF_ERROR(add_cut(asker, q, host, page));
  }
  ASSIGN_OR_RETURN(auto slices, encode_state_page(page, q.format));
  return join_slices(slices);
}

Status StateServer::add_cut(NodeId asker, const StateRequest& q, StreamHost& host, StatePage& page) {
  JsContext& js = js_.context();
  ASSIGN_OR_RETURN(StateCut cut, host.state_cut());
  if (q.format == kStateFormatWhole) {
    page.whole = std::move(cut);
    return ok();
  }
  ASSIGN_OR_RETURN(Bytes all, encode_state_cut(cut));
  ASSIGN_OR_RETURN(
      page.part, cuts_.begin(asker, q.group, std::move(all), js.tuning.state_part_bytes, js.env.clock.now()));
  watch_idle();
  return ok();
}

void StateServer::watch_idle() {
  if (watching_ || cuts_.empty()) return;
  watching_ = true;
  env::Env& env = js_.context().env;
  env.loop.at(env.clock.now() + kWatchIdle, [this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    watching_ = false;
    cuts_.drop_idle(js_.context().env.clock.now());
    watch_idle();
  });
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

StateFetch::StateFetch(JsContext& js, Stream stream, NodeId from, Done done)
    : js_(js),
      stream_(std::move(stream)),
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
  StateRequest q{stream_.group, store_->state().last_seq + 1, parts_.cut(), parts_.size(), format_};
  js_.cluster->mesh().ask(
      node_of(from_), cluster::Method::kStreamState, encode_state_request(q), kTimeout,
      [self = std::weak_ptr<StateFetch*>(self_)](Result<Bytes> answer) {
        auto f = self.lock();
        if (f && *f) (*f)->on_page(std::move(answer));
      },
      cluster::Lane::kBulk);
}

void StateFetch::on_page(Result<Bytes> answer) {
  if (!answer) return speak_older(answer.error()) ? ask() : fail(answer.error());
  auto page = decode_state_page(*answer);
  if (!page) return fail(page.error());
  answered_ = true;
  messages_ += page->messages.size();
  if (Status fits = fill_from_page(*store_, *page); !fits) {
    sound_ = false;
    return fail(fits.error());
  }
  if (Status follows = take_part(*page); !follows) return fail(follows.error());
  if (page->whole || parts_.complete()) return finish(std::move(page->whole));
  page_stored();
}

// A build from before that format takes the question for malformed.
bool StateFetch::speak_older(const Error& why) {
  if (answered_ || format_ != kStateFormat || why.code != Code::kInvalid) return false;
  format_ = kStateFormatWhole;
  return true;
}

// Whoever sends may have lost the cut, or put another one in its place: it is begun anew with what is in the
// page, and messages may have come before it.
Status StateFetch::take_part(const StatePage& page) {
  if (parts_.begun() && (!page.part || page.part->cut != parts_.cut())) {
    parts_.reset();
    parts_came_ = 0;
    if (++begun_anew_ > kBegunAnewMax)
      return {Code::kUnavailable, "its sender loses it again and again before all of it has come"};
  }
  if (!page.part) return ok();
  ++parts_came_;
  return parts_.add(*page.part);
}

void StateFetch::page_stored() {
  if (!file_ || file_->unflushed_bytes() < js_.tuning.tail_bytes_max) return ask();
  file_->checkpoint({}, [self = std::weak_ptr<StateFetch*>(self_)](Status s) {
    auto f = self.lock();
    if (!f || !*f) return;
    if (!s) return (*f)->fail(s.error());
    (*f)->ask();
  });
}

namespace {
/// What the cut says, over `store`. Errors: kUnsupported (a later build wrote it), kInvalid, kCorrupt.
Result<std::unique_ptr<jetstream::StreamMachine>> machine_of(const StateFetch::Stream& stream, StateCut& cut,
                                                             store::MessageStore& store) {
  std::vector<store::CatalogEdit>& all = cut.machine;
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  auto twice = std::adjacent_find(all.begin(), all.end(), [](auto& a, auto& b) { return a.key == b.key; });
  if (twice != all.end()) return {Code::kInvalid, "a key is there twice"};
  auto scan = [&](const std::string& prefix,
                  const std::function<bool(const std::string&, const std::string&)>& visit) {
    auto it = std::lower_bound(all.begin(), all.end(), prefix,
                               [](const auto& edit, const std::string& key) { return edit.key < key; });
    for (; it != all.end() && it->key.starts_with(prefix); ++it) {
      if (!visit(it->key, *it->value)) return;
    }
  };
  auto machine = std::make_unique<jetstream::StreamMachine>(stream.config, stream.created, store);
  ASSIGN_OR_RETURN(auto mark, machine->restore("", scan));
  if (mark.applied != cut.position.at.index || mark.term != cut.position.at.term)
    return {Code::kInvalid, "it is of another entry than its position"};
  return machine;
}
}  // namespace

// The machine is made before anything that is served is given up for it (state_arrived): what cannot be read
// here leaves everything as it was.
void StateFetch::finish(std::optional<StateCut> whole) {
  if (!whole) {
    Bytes all = parts_.take();
    auto cut = decode_state_cut(all.span());
    if (!cut) return fail(cut.error());
    whole = std::move(*cut);
  }
  if (Status fits = cut_store(*store_, *whole); !fits) {
    sound_ = false;
    return fail(fits.error());
  }
  auto machine = machine_of(stream_, *whole, *store_);
  if (!machine) return fail(machine.error().within("a state that cannot be read here"));
  arrived_ = std::make_unique<Arrived>();
  arrived_->store = std::move(store_);
  arrived_->file = file_;
  arrived_->cut = std::move(*whole);
  arrived_->machine = std::move(*machine);
  arrived_->messages = messages_;
  arrived_->parts = std::max<std::uint64_t>(parts_came_, 1);
  // What is posted may be dropped after the catalog that the store writes to: it holds nothing of it.
  js_.env.loop.post([self = std::weak_ptr<StateFetch*>(self_)] {
    auto f = self.lock();
    if (!f || !*f) return;
    auto arrived = std::move((*f)->arrived_);
    auto done = std::move((*f)->done_);
    done(std::move(*arrived));
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
