#include "broker/jetstream/meta_state.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/base/varint.h"
#include "broker/jetstream/coding.h"
#include "broker/subject/subject.h"

namespace weir::jetstream {
namespace {

using api::ErrCode;

constexpr std::uint8_t kVersion = 1;

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

}  // namespace

Status MetaState::apply(const Command& command, RaftIndex index, Wall log_time, MetaOutcome& out) {
  out = MetaOutcome();
  auto decoded = decode_meta_stream(command);
  if (!decoded) return decoded.error().within("meta entry " + std::to_string(index.v));
  Status status = ok();
  switch (command.type) {
    case CommandType::kMetaCreateStream: status = create(*decoded, log_time, out); break;
    case CommandType::kMetaUpdateStream: status = update(*decoded, out); break;
    case CommandType::kMetaDeleteStream: status = remove(*decoded, out); break;
    default:
      // Skipping it would make this replica differ from those that know it.
      return Error{Code::kUnsupported, "meta entry " + std::to_string(index.v) + ": unknown command type " +
                                           std::to_string(static_cast<unsigned>(command.type))};
  }
  RETURN_IF_ERROR(status);
  std::string told;
  put_varint(told, index.v);
  put_varint(told, static_cast<std::uint64_t>(out.error.err_code));
  put_varint(told, static_cast<std::uint64_t>(out.change));
  put_varint(told, revision_);
  put_varint(told, next_group_.v);
  mix(told);
  mix(command.body);
  return ok();
}

Status MetaState::create(const MetaStreamCommand& c, Wall log_time, MetaOutcome& out) {
  auto decoded = api::decode_stream_config(c.config_json, api::Strictness::kLenient);
  if (auto* error = std::get_if<api::ApiError>(&decoded)) {
    out.error = *error;
    return ok();
  }
  auto& config = std::get<api::StreamConfig>(decoded);
  if (config.name != c.name) {
    out.error = api::make_error(ErrCode::kStreamMismatch);
    return ok();
  }
  if (const MetaStream* there = find(c.account, c.name)) {
    if (there->config == config) {
      out.change = MetaChange::kExisting;
      out.stream = *there;
    } else {
      out.error = api::make_error(ErrCode::kStreamNameExist);
    }
    return ok();
  }
  if (overlaps(c.account, c.name, config.subjects)) {
    out.error = api::make_error(ErrCode::kStreamSubjectOverlap);
    return ok();
  }
  if (c.max_streams > 0 && count(c.account) >= c.max_streams) {
    out.error = api::make_error(ErrCode::kMaximumStreamsLimit);
    return ok();
  }
  MetaStream s;
  s.account = c.account;
  s.group = next_group_;
  s.created = c.created.ns != 0 ? c.created : log_time;
  s.revision = ++revision_;
  s.peers.assign(c.peers.begin(), c.peers.end());
  s.config = std::move(config);
  ++next_group_;
  out.change = MetaChange::kCreated;
  out.stream = s;
  insert(std::move(s));
  return ok();
}

Status MetaState::update(const MetaStreamCommand& c, MetaOutcome& out) {
  MetaStream* stream = find_mutable(c.account, c.name);
  if (stream == nullptr) {
    out.error = api::make_error(ErrCode::kStreamNotFound);
    return ok();
  }
  auto decoded = api::decode_stream_config(c.config_json, api::Strictness::kLenient);
  if (auto* error = std::get_if<api::ApiError>(&decoded)) {
    out.error = *error;
    return ok();
  }
  auto& config = std::get<api::StreamConfig>(decoded);
  if (config.name != c.name) {
    out.error = api::make_error(ErrCode::kStreamMismatch);
  } else if (auto why = forbidden_change(stream->config, config); !why.empty()) {
    out.error = api::make_error(ErrCode::kStreamInvalidConfig, why);
  } else if (overlaps(c.account, c.name, config.subjects)) {
    out.error = api::make_error(ErrCode::kStreamSubjectOverlap);
  }
  if (!out.ok()) return ok();
  Account& account = accounts_.find(c.account)->second;
  unindex_subjects(account, *stream);
  stream->config = std::move(config);
  if (!c.peers.empty()) stream->peers.assign(c.peers.begin(), c.peers.end());
  stream->revision = ++revision_;
  index_subjects(account, *stream);
  out.change = MetaChange::kUpdated;
  out.stream = *stream;
  return ok();
}

Status MetaState::remove(const MetaStreamCommand& c, MetaOutcome& out) {
  MetaStream* stream = find_mutable(c.account, c.name);
  if (stream == nullptr) {
    out.error = api::make_error(ErrCode::kStreamNotFound);
    return ok();
  }
  ++revision_;
  out.change = MetaChange::kDeleted;
  auto account = accounts_.find(c.account);
  unindex_subjects(account->second, *stream);
  by_group_.erase(stream->group);
  out.stream = std::move(*stream);
  account->second.streams.erase(account->second.streams.find(c.name));
  if (account->second.streams.empty()) accounts_.erase(account);
  return ok();
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
    std::string_view token = subject::token_at(wanted, 0);
    if (token == "*" || token == ">") {
      if (any(index.begin(), index.end(), wanted)) return true;
      continue;
    }
    for (std::string_view key : {token, std::string_view("*"), std::string_view(">")}) {
      auto [from, to] = index.equal_range(key);
      if (any(from, to, wanted)) return true;
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
  index_subjects(account->second, it->second);
}

void MetaState::index_subjects(Account& account, const MetaStream& stream) {
  for (const std::string& taken : stream.config.subjects)
    account.subjects.emplace(subject::token_at(taken, 0), std::make_pair(taken, stream.config.name));
}

void MetaState::unindex_subjects(Account& account, const MetaStream& stream) {
  for (const std::string& taken : stream.config.subjects) {
    auto [from, to] = account.subjects.equal_range(subject::token_at(taken, 0));
    while (from != to) {
      bool mine = from->second.second == stream.config.name;
      from = mine ? account.subjects.erase(from) : std::next(from);
    }
  }
}

void MetaState::mix(std::string_view bytes) {
  // FNV-1a: the meta group applies a few commands a second.
  for (char c : bytes) hash_ = (hash_ ^ static_cast<std::uint8_t>(c)) * 0x100000001b3u;
}

void MetaState::encode(std::string& out) const {
  out.push_back(static_cast<char>(kVersion));
  put_varint(out, revision_);
  put_varint(out, next_group_.v);
  put_fixed64(out, hash_);
  put_varint(out, by_group_.size());
  for_each([&](const MetaStream& s) {
    put_string(out, s.account);
    put_string(out, s.config.name);
    put_varint(out, s.group.v);
    put_signed(out, s.created.ns);
    put_varint(out, s.revision);
    put_varint(out, s.peers.size());
    for (const std::string& peer : s.peers) put_string(out, peer);
    put_string(out, api::encode_stream_config_json(s.config));
    return true;
  });
}

Status MetaState::restore(std::string_view bytes) {
  Reader r(bytes);
  std::uint8_t version = r.u8();
  if (r.ok() && version != kVersion)
    return Error{Code::kUnsupported, "meta state: version " + std::to_string(version)};
  MetaState fresh;
  fresh.revision_ = r.varint();
  std::uint64_t next_group = r.varint();
  fresh.next_group_ = GroupId(static_cast<std::uint32_t>(next_group));
  fresh.hash_ = r.u64();
  std::uint64_t streams = r.varint();
  bool good = r.ok() && next_group >= 2 && next_group <= UINT32_MAX;
  std::pair<std::string, std::string> previous;
  for (std::uint64_t i = 0; good && i < streams; ++i) {
    MetaStream s;
    s.account = r.string();
    std::string name(r.string());
    std::uint64_t group = r.varint();
    s.created = Wall{unzigzag(r.varint())};
    s.revision = r.varint();
    std::uint64_t peers = r.varint();
    for (std::uint64_t n = 0; n < peers && r.ok(); ++n) s.peers.emplace_back(r.string());
    auto config = api::decode_stream_config(r.string(), api::Strictness::kLenient);
    auto* value = std::get_if<api::StreamConfig>(&config);
    std::pair<std::string, std::string> key(s.account, name);
    good = r.ok() && value != nullptr && value->name == name && group > kMetaGroup.v && group < next_group &&
           previous < key;
    if (!good) break;
    s.group = GroupId(static_cast<std::uint32_t>(group));
    s.config = std::move(*value);
    good = fresh.find(s.group) == nullptr;
    if (good) fresh.insert(std::move(s));
    previous = std::move(key);
  }
  if (!good || !r.done()) return Error{Code::kCorrupt, "meta state: malformed"};
  *this = std::move(fresh);
  return ok();
}

}  // namespace weir::jetstream
