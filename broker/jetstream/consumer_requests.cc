// Pull requests: what is refused, who is served next, and how a request ends.
#include <algorithm>
#include <string>
#include <utility>

#include "broker/base/limits.h"
#include "broker/base/text.h"
#include "broker/jetstream/consumer_leader.h"

namespace weir::jetstream {

namespace {

std::string status_line(std::string_view text) {
  std::string s = "NATS/1.0 ";
  s += text;
  s += "\r\n\r\n";
  return s;
}

/// With what the request still asked for, so that clients can settle their accounts.
std::string status_with_rest(std::string_view text, std::uint64_t messages, std::uint64_t bytes) {
  std::string s = "NATS/1.0 ";
  s += text;
  s += "\r\nNats-Pending-Messages: ";
  append_u64_text(s, messages);
  s += "\r\nNats-Pending-Bytes: ";
  append_u64_text(s, bytes);
  s += "\r\n\r\n";
  return s;
}

}  // namespace

std::string ConsumerLeader::refusal(const PullRequest& r) const {
  const api::ConsumerConfig& c = s_.config();
  if (push_) return "409 Consumer is push based";
  if (c.max_batch > 0 && r.batch > static_cast<std::uint64_t>(c.max_batch))
    return "409 Exceeded MaxRequestBatch of " + std::to_string(c.max_batch);
  if (c.max_expires > 0 && r.expires > c.max_expires)
    return "409 Exceeded MaxRequestExpires of " + format_duration(c.max_expires);
  if (c.max_bytes > 0 && r.max_bytes > static_cast<std::uint64_t>(c.max_bytes))
    return "409 Exceeded MaxRequestMaxBytes of " + std::to_string(c.max_bytes);
  if (r.heartbeat > 0 && r.heartbeat > r.expires / 2) return "400 Bad Request - heartbeat value too large";
  if (r.no_wait) {
    std::uint64_t ready = num_pending_ + again_.size();
    if (ready == 0 && r.expires == 0) return "404 No Messages";
    if (ready > 0 && ready < pulls_.wanted()) return "408 Requests Pending";
  }
  std::size_t waiting_max = limits::kWaitingPullsMax;
  if (c.max_waiting > 0) waiting_max = std::min(waiting_max, static_cast<std::size_t>(c.max_waiting));
  if (pulls_.size() >= waiting_max) return "409 Exceeded MaxWaiting";
  return {};
}

void ConsumerLeader::on_pull(PullRequest r, Now now) {
  dirty_ = true;
  last_used_ = now.mono;
  r.batch = std::max<std::uint64_t>(r.batch, 1);
  if (pulls_.next_due() <= now.mono) {
    // Make room first; the statuses go out with the next step.
    pulls_.filter([&](PullRequest& w) {
      if (w.deadline > now.mono) return true;
      early_.push_back({w.reply, status_with_rest("408 Request Timeout", w.batch, w.max_bytes), {}, 0});
      return false;
    });
  }
  std::string refused = refusal(r);
  if (!refused.empty()) {
    early_.push_back({std::move(r.reply), status_line(refused), {}, 0});
    return;
  }
  r.deadline = r.expires > 0 ? now.mono + r.expires : kNoDeadline;
  r.heartbeat_due = r.heartbeat > 0 ? now.mono + r.heartbeat : kNoDeadline;
  r.sent = r.checked = 0;
  pulls_.push(std::move(r));
}

void ConsumerLeader::on_interest_lost(std::string_view reply) {
  pulls_.filter([&](PullRequest& r) { return r.reply.text() != reply; });
}

std::string ConsumerLeader::heartbeat_headers() const {
  std::string s = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: ";
  append_u64_text(s, s_.delivered_.consumer.v);
  s += "\r\nNats-Last-Stream: ";
  append_u64_text(s, s_.scanned_.v);
  if (push_ && !flow_.outstanding().empty()) {
    s += "\r\nNats-Consumer-Stalled: ";
    s += flow_.outstanding();
  }
  s += "\r\n\r\n";
  return s;
}

/// Expired requests end, silent ones get a heartbeat.
void ConsumerLeader::serve_waiting(const StepInput& in, ConsumerOutput& out) {
  Mono now = in.now.mono;
  if (pulls_.empty() || pulls_.next_due() > now) return;
  pulls_.filter([&](PullRequest& r) {
    if (drop_if_over(r, in, out)) return false;
    if (r.heartbeat_due <= now) {
      out.statuses.push_back({r.reply, heartbeat_headers(), {}, out.deliveries.size()});
      r.heartbeat_due = now + r.heartbeat;
    }
    return true;
  });
}

/// True if the request has ended: expired (it is told so), or nobody listens any more.
bool ConsumerLeader::drop_if_over(PullRequest& r, const StepInput& in, ConsumerOutput& out) {
  if (r.deadline <= in.now.mono) {
    out.statuses.push_back(
        {r.reply, status_with_rest("408 Request Timeout", r.batch, r.max_bytes), {}, out.deliveries.size()});
    return true;
  }
  if (r.checked == steps_) return false;
  r.checked = steps_;
  return !in.has_interest(r.reply.text());
}

PullRequest* ConsumerLeader::next_pull(const StepInput& in, std::uint64_t size, ConsumerOutput& out) {
  while (!pulls_.empty()) {
    PullRequest& r = pulls_.front();
    if (drop_if_over(r, in, out)) {
      pulls_.pop_front();
      continue;
    }
    if (r.max_bytes == 0 || size <= r.max_bytes) return &r;
    std::string headers = status_with_rest("409 Message Size Exceeds MaxBytes", r.batch, r.max_bytes);
    out.statuses.push_back({r.reply, std::move(headers), {}, out.deliveries.size()});
    pulls_.pop_front();
  }
  return nullptr;
}

/// Settles the front request after a message of `size` bytes was put into `out` for it.
void ConsumerLeader::served(PullRequest& pull, std::uint64_t size, Now now, ConsumerOutput& out) {
  if (pull.max_bytes > 0) {
    pull.max_bytes -= size;
    if (pull.max_bytes == 0) {
      pulls_.pop_front();  // its bytes are used up: that ends it without a status
      return;
    }
    if (pull.batch == 1)
      out.statuses.push_back({pull.reply,
                              status_with_rest("409 Batch Completed", 0, pull.max_bytes),
                              {},
                              out.deliveries.size()});
  }
  pulls_.served_front(now.mono + pull.heartbeat);
}

/// Nothing is left to deliver: requests that will not wait end, unless they had nothing yet and may
/// wait until they expire.
void ConsumerLeader::end_no_wait_pulls(ConsumerOutput& out) {
  if (!pulls_.any_no_wait()) return;
  pulls_.filter([&](PullRequest& r) {
    if (!r.no_wait || (r.sent == 0 && r.expires > 0)) return true;
    out.statuses.push_back({r.reply, status_line("404 No Messages"), {}, out.deliveries.size()});
    return false;
  });
}

void ConsumerLeader::end(ConsumerEnd why, ConsumerOutput& out) {
  out.clear();
  out.statuses.swap(early_);
  std::string_view text = why == ConsumerEnd::kDeleted            ? "409 Consumer Deleted"
                          : why == ConsumerEnd::kLeadershipChange ? "409 Leadership Change"
                                                                  : "409 Server Shutdown";
  pulls_.filter([&](PullRequest& r) {
    out.statuses.push_back({r.reply, status_line(text), {}, 0});
    return false;
  });
  for (auto* list : {&confirm_now_, &confirm_committed_}) {
    for (Bytes& reply : *list) out.confirmations.push_back({std::move(reply), 0});
    list->clear();
  }
}

}  // namespace weir::jetstream
