#include "broker/server/state_transfer.h"

#include "broker/base/varint.h"
#include "broker/raft/confchange.h"
#include "broker/server/cluster_side.h"
#include "broker/server/jetstream.h"
#include "broker/store/mem_store.h"

namespace weir::server {

using store::Message;

namespace {
constexpr std::uint8_t kFormat = 1;
constexpr std::size_t kPageBytes = 512u << 10;
constexpr std::size_t kPageMessages = 20'000;
constexpr std::size_t kRangesMax = 10'000'000;
constexpr Nanos kTimeout = 5 * kSecond;
}  // namespace

Bytes encode_state_request(const StateRequest& r) {
  BytesBuilder out;
  out.append_u8(kFormat);
  out.append_varint(r.group.v);
  out.append_varint(r.from.v);
  return out.freeze();
}

Result<StateRequest> decode_state_request(ByteSpan bytes) {
  Reader r(bytes);
  std::uint8_t format = r.u8();
  std::uint64_t group = r.varint();
  StateRequest q{GroupId(static_cast<std::uint32_t>(group)), StreamSeq(r.varint())};
  if (!r.done() || format != kFormat || group > UINT32_MAX)
    return {Code::kInvalid, "state request: malformed"};
  return q;
}

std::vector<Bytes> encode_state_page(const StatePage& page) {
  BytesBuilder out;
  out.append_u8(kFormat);
  out.append_u8(page.final ? 1 : 0);
  out.append_varint(page.messages.size());
  for (const Message& m : page.messages) {
    out.append_varint(m.seq.v);
    out.append_varint(zigzag(m.time.ns));
    out.append_varint(m.subject_size);
    out.append_varint(m.header_size);
    out.append_varint(m.record.size());
  }
  if (page.final) {
    out.append_string(replica::encode_position(page.position));
    out.append_varint(page.last_seq.v);
    out.append_varint(zigzag(page.last_time.ns));
    out.append_varint(page.live.size());
    StreamSeq at;
    for (const auto& range : page.live) {
      out.append_varint(range.first - at);
      out.append_varint(range.last - range.first);
      at = range.last;
    }
    out.append_varint(page.machine.size());
    for (const auto& edit : page.machine) {
      out.append_string(edit.key);
      out.append_string(edit.value ? std::string_view(*edit.value) : std::string_view());
    }
  }
  std::vector<Bytes> slices;
  slices.push_back(out.freeze());
  for (const Message& m : page.messages) slices.push_back(m.record);
  return slices;
}

namespace {
Status decode_cut(Reader& r, StatePage& page) {
  ASSIGN_OR_RETURN(page.position, replica::decode_position(r.string()));
  page.last_seq = StreamSeq(r.varint());
  page.last_time = Wall{unzigzag(r.varint())};
  std::uint64_t ranges = r.varint();
  if (!r.ok() || ranges > kRangesMax) return {Code::kInvalid, "state page: ranges"};
  StreamSeq at;
  for (std::uint64_t i = 0; i < ranges && r.ok(); ++i) {
    StreamSeq first = at + r.varint();
    at = first + r.varint();
    if (at < first || at > page.last_seq) return {Code::kInvalid, "state page: ranges"};
    page.live.push_back({first, at});
  }
  std::uint64_t edits = r.varint();
  for (std::uint64_t i = 0; i < edits && r.ok(); ++i) {
    std::string key(r.string());
    page.machine.push_back({std::move(key), std::string(r.string())});
  }
  return r.ok() ? ok() : Status(Error(Code::kInvalid, "state page: cut short"));
}
}  // namespace

Result<StatePage> decode_state_page(const Bytes& bytes) {
  Reader r(bytes.span());
  std::uint8_t format = r.u8();
  if (r.ok() && format != kFormat)
    return {Code::kUnsupported, "state page: format " + std::to_string(format)};
  StatePage page;
  page.final = r.u8() == 1;
  std::uint64_t count = r.varint();
  if (!r.ok() || count > r.left()) return {Code::kInvalid, "state page: count"};
  std::vector<std::uint64_t> sizes;
  for (std::uint64_t i = 0; i < count && r.ok(); ++i) {
    Message m;
    m.seq = StreamSeq(r.varint());
    m.time = Wall{unzigzag(r.varint())};
    std::uint64_t subject = r.varint(), header = r.varint(), size = r.varint();
    bool rises = page.messages.empty() ? m.seq.v > 0 : m.seq > page.messages.back().seq;
    if (!r.ok() || !rises || size > bytes.size() || subject == 0 || subject > size ||
        header > size - subject) {
      return {Code::kInvalid, "state page: message"};
    }
    m.subject_size = static_cast<std::uint32_t>(subject);
    m.header_size = static_cast<std::uint32_t>(header);
    sizes.push_back(size);
    page.messages.push_back(std::move(m));
  }
  if (page.final) RETURN_IF_ERROR(decode_cut(r, page));
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    std::string_view record = r.bytes(sizes[i]);
    if (!r.ok()) return {Code::kInvalid, "state page: cut short"};
    page.messages[i].record = bytes.sub_of(record);
  }
  if (!r.done()) return {Code::kInvalid, "state page: bytes at the end"};
  return page;
}

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
  StreamHost* host = r.done() ? js_.find(group) : nullptr;
  if (!host || !host->group().leading()) return reply(Error(Code::kNotFound, "the group is not led here"));
  reply(raft::encode_conf(host->group().conf()));
}

// ---- fetching --------------------------------------------------------------------------------

StateFetch::StateFetch(JsContext& js, GroupId group, NodeId from, Done done)
    : js_(js),
      group_(group),
      from_(from),
      done_(std::move(done)),
      self_(std::make_shared<StateFetch*>(this)) {}

void StateFetch::start(std::optional<store::FileStore::Options> file) {
  if (!file) {
    store_ = std::make_unique<store::MemStore>();
    return ask();
  }
  store::FileStore::discard(js_.env.disk, *js_.catalog, js_.env.log, *file,
                            [self = std::weak_ptr<StateFetch*>(self_), file](Status s) {
                              auto f = self.lock();
                              if (!f || !*f) return;
                              if (!s) return (*f)->fail(s.error());
                              (*f)->open_and_ask(file);
                            });
}

void StateFetch::open_and_ask(const std::optional<store::FileStore::Options>& file) {
  auto opened = store::FileStore::open(js_.env.disk, *js_.catalog, *js_.cache, js_.env.log, *file);
  if (!opened) return fail(opened.error());
  file_ = opened->get();
  store_ = std::move(*opened);
  ask();
}

void StateFetch::ask() {
  std::vector<Bytes> body;
  body.push_back(encode_state_request({group_, store_->state().last_seq + 1}));
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
  if (Status s = fill(*page); !s) return fail(s.error());
  if (page->final) {
    if (Status s = cut(*page); !s) return fail(s.error());
    last_ = std::move(*page);
    js_.env.loop.post([self = std::weak_ptr<StateFetch*>(self_)] {
      auto f = self.lock();
      if (!f || !*f) return;
      StateFetch& me = **f;
      auto done = std::move(me.done_);
      done(Arrived{std::move(me.store_), me.file_, std::move(me.last_)});
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

Status StateFetch::fill(StatePage& page) {
  for (Message& m : page.messages) {
    if (m.seq <= store_->state().last_seq) return {Code::kInvalid, "state page: sequences go back"};
    // A slice would keep the whole page alive.
    m.record = Bytes::copy_of(m.record.span());
    store_->append(std::move(m));
  }
  bool stuck = page.messages.empty() && !page.final;
  return stuck ? Status(Error(Code::kInvalid, "state page: empty")) : ok();
}

// Removes what the leader has removed since it sent it.
Status StateFetch::cut(const StatePage& page) {
  std::vector<store::LiveRange> mine = store_->live_ranges(StreamSeq(0), kRangesMax);
  auto theirs = page.live.begin();
  std::uint64_t wanted = 0;
  for (const auto& r : page.live) wanted += (r.last - r.first) + 1;
  for (const auto& range : mine) {
    for (StreamSeq seq = range.first; seq <= range.last; ++seq) {
      while (theirs != page.live.end() && theirs->last < seq) ++theirs;
      if (theirs != page.live.end() && theirs->first <= seq) continue;
      ASSIGN_OR_RETURN(auto gone, store_->remove(seq));
      if (gone.messages != 1) return {Code::kCorrupt, "a message vanished while a state was fetched"};
    }
  }
  if (store_->state().messages != wanted) return {Code::kInvalid, "state page: messages are missing"};
  if (store_->state().last_seq > page.last_seq) return {Code::kInvalid, "state page: last sequence"};
  if (store_->state().last_seq < page.last_seq) store_->skip_to(page.last_seq, page.last_time);
  return ok();
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
