#include "broker/jetstream/meta_state.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/base/state_hash.h"
#include "broker/jetstream/coding.h"
#include "broker/subject/subject.h"

namespace weir::jetstream {
namespace {

using api::ErrCode;

/// Changes that would contradict what is stored or what was promised, whoever asks.
std::string_view forbidden_change(const api::StreamConfig& old, const api::StreamConfig& now) {
  bool work_queue =
      (old.retention == api::Retention::kWorkQueue) != (now.retention == api::Retention::kWorkQueue);
  if (old.storage != now.storage) return "stream configuration update can not change storage type";
  if (work_queue) return "stream configuration update can not change retention policy to/from workqueue";
  if (old.sealed && !now.sealed) return "stream configuration update can not unseal a sealed stream";
  if (old.deny_delete && !now.deny_delete)
    return "stream configuration update can not cancel deny message deletes";
  if (old.deny_purge && !now.deny_purge) return "stream configuration update can not cancel deny purge";
  return {};
}

/// The tokens of a subject before its first wildcard.
std::string_view literal_head(std::string_view subject) {
  std::size_t size = 0;
  for (subject::Tokens t(subject); t.next();) {
    if (t.token() == "*" || t.token() == ">") break;
    size = static_cast<std::size_t>(t.token().data() + t.token().size() - subject.data());
  }
  return subject.substr(0, size);
}

}  // namespace

Status MetaState::apply(const Command& command, RaftIndex index, Wall log_time, MetaOutcome& out) {
  out = MetaOutcome();
  bool of_node = command.type >= CommandType::kMetaRegisterNode;
  Status status = of_node ? apply_node(command, out) : apply_stream(command, log_time, out);
  if (!status) return status.error().within("meta entry " + std::to_string(index.v));
  std::string told;
  put_varint(told, index.v);
  put_varint(told, static_cast<std::uint64_t>(out.error.err_code));
  put_varint(told, static_cast<std::uint64_t>(out.change));
  put_varint(told, revision_);
  put_varint(told, next_group_.v);
  for (GroupId group : out.groups) put_varint(told, group.v);
  mix(told);
  mix(command.body);
  return ok();
}

Status MetaState::apply_stream(const Command& command, Wall log_time, MetaOutcome& out) {
  switch (command.type) {
    case CommandType::kMetaCreateStream:
    case CommandType::kMetaUpdateStream:
    case CommandType::kMetaDeleteStream: break;
    default:
      // Skipping it would make this replica differ from those that know it.
      return Error{Code::kUnsupported,
                   "unknown command type " + std::to_string(static_cast<unsigned>(command.type))};
  }
  ASSIGN_OR_RETURN(auto decoded, decode_meta_stream(command));
  if (command.type == CommandType::kMetaCreateStream) create(decoded, log_time, out);
  if (command.type == CommandType::kMetaUpdateStream) update(decoded, out);
  if (command.type == CommandType::kMetaDeleteStream) remove(decoded, out);
  return ok();
}

void MetaState::create(const MetaStreamCommand& c, Wall log_time, MetaOutcome& out) {
  auto decoded = api::decode_stream_config(c.config_json, api::Strictness::kLenient);
  if (auto* error = std::get_if<api::ApiError>(&decoded)) {
    out.error = *error;
    return;
  }
  auto& config = std::get<api::StreamConfig>(decoded);
  if (config.name != c.name) {
    out.error = api::make_error(ErrCode::kStreamMismatch);
    return;
  }
  if (const MetaStream* there = find(c.account, c.name)) {
    if (there->config == config) {
      out.change = MetaChange::kExisting;
      out.stream = *there;
    } else {
      out.error = api::make_error(ErrCode::kStreamNameExist);
    }
    return;
  }
  if (overlaps(c.account, c.name, config.subjects)) {
    out.error = api::make_error(ErrCode::kStreamSubjectOverlap);
    return;
  }
  if (c.max_streams > 0 && count(c.account) >= c.max_streams) {
    out.error = api::make_error(ErrCode::kMaximumStreamsLimit);
    return;
  }
  if (!check_nodes(c.nodes, nullptr, out)) return;
  MetaStream s;
  s.account = c.account;
  s.group = next_group_;
  s.created = c.created.ns != 0 ? c.created : log_time;
  s.revision = s.peers_revision = ++revision_;
  s.peers = s.founders = c.nodes;  // a new group: everybody's first life in it
  s.preferred = s.replica_on(c.preferred);
  s.config = std::move(config);
  ++next_group_;
  out.change = MetaChange::kCreated;
  out.stream = s;
  insert(std::move(s));
}

void MetaState::update(const MetaStreamCommand& c, MetaOutcome& out) {
  MetaStream* stream = find_mutable(c.account, c.name);
  if (stream == nullptr) {
    out.error = api::make_error(ErrCode::kStreamNotFound);
    return;
  }
  auto decoded = api::decode_stream_config(c.config_json, api::Strictness::kLenient);
  if (auto* error = std::get_if<api::ApiError>(&decoded)) {
    out.error = *error;
    return;
  }
  auto& config = std::get<api::StreamConfig>(decoded);
  if (config.name != c.name) {
    out.error = api::make_error(ErrCode::kStreamMismatch);
  } else if (auto why = forbidden_change(stream->config, config); !why.empty()) {
    out.error = api::make_error(ErrCode::kStreamInvalidConfig, why);
  } else if (overlaps(c.account, c.name, config.subjects)) {
    out.error = api::make_error(ErrCode::kStreamSubjectOverlap);
  }
  if (!out.ok() || (!c.nodes.empty() && !check_nodes(c.nodes, stream, out))) return;
  Account& account = accounts_.find(c.account)->second;
  unindex_subjects(account, *stream);
  count_load(*stream, false);
  if (!c.nodes.empty()) note_origin(*stream);
  stream->config = std::move(config);
  stream->revision = ++revision_;
  if (!c.nodes.empty()) {
    std::vector<NodeId> before = stream->peers;
    assign_peers(*stream, c.nodes, c.preferred);
    if (stream->peers != before) out.groups = {stream->group};
  }
  count_load(*stream, true);
  index_subjects(account, *stream);
  out.change = MetaChange::kUpdated;
  out.stream = *stream;
}

void MetaState::remove(const MetaStreamCommand& c, MetaOutcome& out) {
  MetaStream* stream = find_mutable(c.account, c.name);
  if (stream == nullptr) {
    out.error = api::make_error(ErrCode::kStreamNotFound);
    return;
  }
  ++revision_;
  out.change = MetaChange::kDeleted;
  auto account = accounts_.find(c.account);
  unindex_subjects(account->second, *stream);
  count_load(*stream, false);
  by_group_.erase(stream->group);
  parting_.erase(stream->group);
  out.stream = std::move(*stream);
  account->second.streams.erase(account->second.streams.find(c.name));
  if (account->second.streams.empty()) accounts_.erase(account);
}

const MetaStream* MetaState::find(std::string_view account, std::string_view name) const {
  auto a = accounts_.find(account);
  if (a == accounts_.end()) return nullptr;
  auto s = a->second.streams.find(name);
  return s == a->second.streams.end() ? nullptr : &s->second;
}

MetaStream* MetaState::find_mutable(std::string_view account, std::string_view name) {
  return const_cast<MetaStream*>(std::as_const(*this).find(account, name));
}

const MetaStream* MetaState::find(GroupId group) const {
  auto it = by_group_.find(group);
  return it == by_group_.end() ? nullptr : it->second;
}

void MetaState::for_each(std::string_view account,
                         const std::function<bool(const MetaStream&)>& visit) const {
  auto a = accounts_.find(account);
  if (a == accounts_.end()) return;
  for (const auto& [name, stream] : a->second.streams)
    if (!visit(stream)) return;
}

void MetaState::for_each(const std::function<bool(const MetaStream&)>& visit) const {
  for (const auto& [account, state] : accounts_)
    for (const auto& [name, stream] : state.streams)
      if (!visit(stream)) return;
}

std::size_t MetaState::count(std::string_view account) const {
  auto a = accounts_.find(account);
  return a == accounts_.end() ? 0 : a->second.streams.size();
}

bool MetaState::overlaps(std::string_view account, std::string_view name,
                         const std::vector<std::string>& subjects) const {
  auto a = accounts_.find(account);
  if (a == accounts_.end()) return false;
  const auto& index = a->second.subjects;
  auto any = [&](auto from, auto to, std::string_view wanted) {
    return std::any_of(from, to, [&](const auto& row) {
      return row.second.second != name && subject::overlaps(row.second.first, wanted);
    });
  };
  for (const std::string& wanted : subjects) {
    std::string_view head = literal_head(wanted);
    // Two overlap only if the head of one begins with all of the other's.
    for (std::string_view key = head;;) {
      auto [from, to] = index.equal_range(key);
      if (any(from, to, wanted)) return true;
      if (key.empty()) break;
      std::size_t dot = key.rfind('.');
      key = dot == std::string_view::npos ? std::string_view() : key.substr(0, dot);
    }
    if (head.size() == wanted.size()) continue;
    std::string below = head.empty() ? std::string() : std::string(head) + ".";
    for (auto it = index.lower_bound(below); it != index.end() && it->first.starts_with(below); ++it) {
      if (any(it, std::next(it), wanted)) return true;
    }
  }
  return false;
}

void MetaState::insert(MetaStream stream) {
  auto [account, fresh] = accounts_.try_emplace(stream.account);
  std::string name = stream.config.name;
  auto [it, added] = account->second.streams.emplace(std::move(name), std::move(stream));
  CHECK(added, "stream inserted twice");
  by_group_.emplace(it->second.group, &it->second);
  keep_parting(it->second);
  index_subjects(account->second, it->second);
  count_load(it->second, true);
}

void MetaState::index_subjects(Account& account, const MetaStream& stream) {
  for (const std::string& taken : stream.config.subjects)
    account.subjects.emplace(literal_head(taken), std::make_pair(taken, stream.config.name));
}

void MetaState::unindex_subjects(Account& account, const MetaStream& stream) {
  for (const std::string& taken : stream.config.subjects) {
    auto [from, to] = account.subjects.equal_range(literal_head(taken));
    while (from != to) {
      bool mine = from->second.second == stream.config.name;
      from = mine ? account.subjects.erase(from) : std::next(from);
    }
  }
}

std::uint64_t MetaState::state_hash() const {
  StateHash h;
  h.add(hash_);
  h.add(revision_);
  h.add(next_group_.v);
  h.add(nodes_.size());
  h.add(by_group_.size());
  h.add(parting_.size());
  return h.value();
}

void MetaState::mix(std::string_view bytes) {
  // FNV-1a: the meta group applies a few commands a second.
  for (char c : bytes) hash_ = (hash_ ^ static_cast<std::uint8_t>(c)) * 0x100000001b3u;
}

}  // namespace weir::jetstream
