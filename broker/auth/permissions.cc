#include "broker/auth/permissions.h"

#include <algorithm>

#include "broker/subject/subject.h"

namespace weir::auth {
namespace {

bool any_matches(const std::vector<std::string>& patterns, std::string_view subject) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& p) { return subject::matches(p, subject); });
}

}  // namespace

std::vector<Permissions::Entry> Permissions::entries(const std::vector<std::string>& list) {
  std::vector<Entry> out;
  for (const std::string& text : list) {
    auto blank = text.find_first_of(" \t");
    Entry entry{text.substr(0, blank), {}};
    if (blank != std::string::npos) entry.queue = text.substr(text.find_first_not_of(" \t", blank));
    out.push_back(std::move(entry));
  }
  return out;
}

Permissions::Permissions(const config::PermissionsConfig& config)
    : publish_allow_(config.publish.allow),
      publish_deny_(config.publish.deny),
      subscribe_deny_(entries(config.subscribe.deny)),
      responses_(config.allow_responses) {
  if (config.subscribe.allow) subscribe_allow_ = entries(*config.subscribe.allow);
}

bool Permissions::can_publish(std::string_view subject) const {
  if (publish_allow_ && !any_matches(*publish_allow_, subject)) return false;
  return !any_matches(publish_deny_, subject);
}

// Queue entries that speak of the subject decide for a queue subscription; only without any do the
// plain entries count.
bool Permissions::allowed(std::string_view subject, std::string_view queue) const {
  if (!subscribe_allow_) return true;
  bool plain = false;
  bool queue_entry = false;
  bool queue_fits = false;
  for (const Entry& e : *subscribe_allow_) {
    if (!subject::subset(subject, e.subject)) continue;
    if (e.queue.empty()) {
      plain = true;
    } else if (!queue.empty()) {
      queue_entry = true;
      queue_fits = queue_fits || subject::matches(e.queue, queue);
    }
  }
  return queue_entry ? queue_fits : plain;
}

SubscribeVerdict Permissions::can_subscribe(std::string_view subject, std::string_view queue) const {
  if (!allowed(subject, queue)) return SubscribeVerdict::kDenied;
  auto verdict = SubscribeVerdict::kAllowed;
  for (const Entry& e : subscribe_deny_) {
    if (!e.queue.empty() && (queue.empty() || !subject::matches(e.queue, queue))) continue;
    if (subject::subset(subject, e.subject)) return SubscribeVerdict::kDenied;
    if (subject::overlaps(subject, e.subject)) verdict = SubscribeVerdict::kFiltered;
  }
  return verdict;
}

bool Permissions::may_deliver(std::string_view subject, std::string_view queue) const {
  for (const Entry& e : subscribe_deny_) {
    if (!e.queue.empty() && (queue.empty() || !subject::matches(e.queue, queue))) continue;
    if (subject::matches(e.subject, subject)) return false;
  }
  return true;
}

bool PublishGate::can_publish(std::string_view subject) {
  if (!permissions_) return true;
  if (auto known = cache_.find(subject); known != cache_.end()) return known->second;
  bool may = permissions_->can_publish(subject);
  if (cache_.size() >= kEntriesMax) cache_.clear();
  cache_.emplace(subject, may);
  return may;
}

void ReplyRights::make_room(Mono now) {
  if (rights_.size() < kRepliesMax) return;
  std::erase_if(rights_, [&](const auto& r) { return rule_.expires >= 0 && r.second.until <= now; });
  if (rights_.size() < kRepliesMax) return;
  auto oldest = std::min_element(rights_.begin(), rights_.end(), [](const auto& a, const auto& b) {
    return a.second.until != b.second.until ? a.second.until < b.second.until : a.first < b.first;
  });
  rights_.erase(oldest);
}

void ReplyRights::received(std::string_view reply, Mono now) {
  if (reply.empty()) return;
  std::string key(reply);
  if (!rights_.count(key)) make_room(now);
  Nanos lasts = rule_.expires < 0 ? 0 : rule_.expires;
  rights_[std::move(key)] = {rule_.max, now + lasts};
}

bool ReplyRights::take(std::string_view subject, Mono now) {
  auto found = rights_.find(std::string(subject));
  if (found == rights_.end()) return false;
  Right& right = found->second;
  if (rule_.expires >= 0 && right.until <= now) {
    rights_.erase(found);
    return false;
  }
  if (rule_.max >= 0 && --right.left <= 0) rights_.erase(found);
  return true;
}

}  // namespace weir::auth
