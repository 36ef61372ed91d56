#include "broker/session/client_session.h"

#include <algorithm>

#include "broker/api/connect_json.h"
#include "broker/proto/client_writer.h"
#include "broker/session/secrets.h"
#include "broker/subject/subject.h"

namespace weir::session {

namespace {
// Learns the round-trip time soon after the connection is up.
constexpr Nanos kFirstPing = 2 * kSecond;

CloseReason reason_of(proto::ParseError e) {
  switch (e) {
    case proto::ParseError::kMaxPayload: return CloseReason::kMaxPayloadExceeded;
    case proto::ParseError::kControlLine: return CloseReason::kMaxControlLineExceeded;
    case proto::ParseError::kUnknownOperation: return CloseReason::kParseError;
    case proto::ParseError::kSyntax: return CloseReason::kParseError;
    case proto::ParseError::kNone: break;
  }
  return CloseReason::kProtocolViolation;
}

std::string quoted(std::string_view before, std::string_view subject) {
  return std::string(before) + " \"" + std::string(subject) + "\"";
}

// Names with control characters are the server's own (Router's kMembersQueue).
bool is_valid_queue(std::string_view queue) {
  return std::none_of(queue.begin(), queue.end(), [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}
}  // namespace

ClientSession::ClientSession(ClientId id, const SessionLimits& limits, SessionHost& host)
    : id_(id),
      server_limits_(limits),
      limits_(limits),
      host_(host),
      parser_({limits.max_control_line, limits.max_payload}) {}

ClientSession::~ClientSession() {
  CHECK(subs_.empty(), "drop_subscriptions() first");
}

BytesBuilder& ClientSession::out() {
  mark_dirty();
  return outbox_.line();
}

void ClientSession::mark_dirty() {
  if (dirty_) return;
  dirty_ = true;
  host_.dirty(*this);
}

void ClientSession::send_info(std::string_view json) {
  proto::append_info(out(), json);
}

void ClientSession::send_error(std::string_view text) {
  proto::append_err(out(), text);
}

void ClientSession::acknowledge() {
  if (connect_.verbose) proto::append_ok(out());  // the default, also of those who never say CONNECT
}

void ClientSession::close(CloseReason reason, std::string_view error_text) {
  if (closing_) return;
  if (!error_text.empty()) send_error(error_text);
  closing_ = reason;
  mark_dirty();
}

bool ClientSession::feed(ByteSpan bytes, Mono now, Wall wall) {
  if (closing_) return false;
  now_ = now;
  stats_.last_activity = now;
  stats_.last_activity_wall = wall;
  auto fed = parser_.feed(bytes, *this);
  if (fed.error != proto::ParseError::kNone) close(reason_of(fed.error), proto::error_text(fed.error));
  return !closing_;
}

bool ClientSession::on_connect(std::string_view json) {
  if (limits_.trace) trace("<<-", {"CONNECT", hide_secrets(json)});
  auto decoded = api::decode_connect(json, connect_);
  if (!decoded) {
    close(CloseReason::kProtocolViolation, "invalid CONNECT: " + decoded.error().detail);
    return false;
  }
  proto::ConnectOptions options = std::move(*decoded);
  options.headers = options.headers && limits_.headers;
  if (options.protocol < 0 || options.protocol > 1) {
    close(CloseReason::kBadClientProtocolVersion, "invalid client protocol");
    return false;
  }
  if (options.no_responders && !options.headers) {
    close(CloseReason::kNoRespondersRequiresHeaders, "no responders requires headers support");
    return false;
  }
  if (!admit(options)) return false;
  connect_ = std::move(options);
  acknowledge();
  return true;
}

bool ClientSession::admit(const proto::ConnectOptions& options) {
  auto identity = host_.authenticate(*this, options);
  if (!identity) {
    bool full = identity.error().code == Code::kLimit;
    close(full ? CloseReason::kMaxAccountConnectionsExceeded : CloseReason::kAuthenticationFailure,
          full ? "maximum account active connections exceeded" : "Authorization Violation");
    return false;
  }
  connected_ = true;
  set_identity(std::move(*identity));
  return true;
}

void ClientSession::set_identity(Identity identity) {
  identity_ = std::move(identity);
  limits_ = server_limits_;
  if (identity_->max_payload) limits_.max_payload = *identity_->max_payload;
  if (identity_->max_subscriptions) limits_.max_subscriptions = *identity_->max_subscriptions;
  parser_.set_limits({limits_.max_control_line, limits_.max_payload});
  gate_ = auth::PublishGate(identity_->permissions);
  replies_.reset();
  if (identity_->permissions && identity_->permissions->responses()) {
    replies_.emplace(*identity_->permissions->responses());
  }
}

bool ClientSession::ready_or_close() {
  if (identity_) return true;
  // As observed of nats-server 2.15: with no_auth_user a line other than CONNECT may be the first.
  return admit(connect_);
}

bool ClientSession::may_publish(std::string_view subject, std::string_view reply) {
  bool allowed = gate_.can_publish(subject) || (replies_ && replies_->take(subject, now_));
  if (!allowed) {
    send_error(quoted("Permissions Violation for Publish to", subject));
    return false;
  }
  // Reply subjects that only the server may hand out (jsapi "Publish guard").
  if (!reply.empty() &&
      (reply.starts_with("$JS.ACK.") || reply.starts_with("_R_.") || reply.starts_with("_GR_."))) {
    send_error(quoted("Permissions Violation for Publish with Reply of", reply));
    return false;
  }
  return true;
}

bool ClientSession::on_publish(const proto::PublishView& m) {
  if (limits_.trace) {
    trace("<<-", {m.with_headers ? "HPUB" : "PUB", m.subject, m.reply, std::to_string(m.body.size())});
    trace_payload("<<-", m.body);
  }
  if (!ready_or_close()) return false;
  stats_.in_msgs += 1;
  stats_.in_bytes += m.body.size();
  if (m.with_headers && !connect_.headers) {
    close(CloseReason::kMsgHeaderViolation, "message headers not supported");
    return false;
  }
  if (connect_.pedantic && !subject::is_valid_literal(m.subject)) {
    send_error("Invalid Publish Subject");
  }
  if (!may_publish(m.subject, m.reply)) return true;
  acknowledge();
  host_.publish(*this, Inbound{m.subject, m.reply, m.body, m.headers.size(), m.held, this});
  return !closing_;
}

bool ClientSession::may_subscribe(std::string_view subject, std::string_view queue) {
  const auto* p = identity_->permissions.get();
  if (!p || p->can_subscribe(subject, queue) != auth::SubscribeVerdict::kDenied) return true;
  std::string text = quoted("Permissions Violation for Subscription to", subject);
  if (!queue.empty()) text += quoted(" using queue", queue);
  send_error(text);
  return false;
}

bool ClientSession::on_subscribe(std::string_view subject, std::string_view queue, std::string_view sid) {
  if (limits_.trace) trace("<<-", {"SUB", subject, queue, sid});
  if (!ready_or_close()) return false;
  if (!subject::is_valid_pattern(subject) || !is_valid_queue(queue)) {
    send_error("Invalid Subject");
    return true;
  }
  if (limits_.max_sub_tokens > 0 &&
      subject::token_count(subject) > static_cast<std::size_t>(limits_.max_sub_tokens)) {
    send_error("Permissions Violation for Subscription to \"" + std::string(subject) + "\", too many tokens");
    return true;
  }
  if (!may_subscribe(subject, queue)) return true;
  if (limits_.max_subscriptions && subs_.size() >= limits_.max_subscriptions) {
    send_error("maximum subscriptions exceeded");
    return true;
  }
  auto [it, fresh] = subs_.try_emplace(std::string(sid));
  if (fresh) {
    auto sub = std::make_unique<Subscription>();
    sub->subject = subject;
    sub->queue = queue;
    sub->sid = sid;
    sub->client = this;
    const auto* p = identity_->permissions.get();
    sub->filter_denied = p && p->can_subscribe(subject, queue) == auth::SubscribeVerdict::kFiltered;
    it->second = std::move(sub);
    host_.subscribed(*this, *it->second);
  }
  acknowledge();
  return true;
}

bool ClientSession::on_unsubscribe(std::string_view sid, std::uint64_t max_msgs) {
  if (limits_.trace) trace("<<-", {"UNSUB", sid, max_msgs ? std::to_string(max_msgs) : std::string()});
  if (!ready_or_close()) return false;
  auto it = subs_.find(sid);
  if (it != subs_.end()) {
    it->second->max = max_msgs;
    if (max_msgs == 0 || it->second->delivered >= max_msgs) remove(*it->second);
  }
  acknowledge();
  return true;
}

bool ClientSession::on_ping() {
  if (limits_.trace) trace("<<-", {"PING"});
  if (!ready_or_close()) return false;
  if (limits_.trace) trace("->>", {"PONG"});
  proto::append_pong(out());
  return true;
}

bool ClientSession::on_pong() {
  if (limits_.trace) trace("<<-", {"PONG"});
  if (pings_out_ > 0) stats_.rtt = now_ - ping_sent_;
  pings_out_ = 0;
  return true;
}

bool ClientSession::on_err(std::string_view) {
  close(CloseReason::kClientClosed);
  return false;
}

bool ClientSession::deliver(Subscription& sub, const Inbound& m) {
  if (closing_ || (m.origin == this && !connect_.echo)) return false;
  if (sub.max && sub.delivered >= sub.max) return false;  // used up, its removal is under way
  if (sub.filter_denied && !identity_->permissions->may_deliver(m.subject, sub.queue)) return false;
  ++sub.delivered;
  std::size_t header_size = connect_.headers ? m.header_size : 0;
  std::string_view body = connect_.headers ? m.body : m.payload();
  proto::append_message_line(out(), {m.subject, sub.sid, m.reply, header_size, body.size()});
  if (m.shared && connect_.headers) {
    outbox_.append(*m.shared);
  } else {
    outbox_.append(body);
  }
  outbox_.append("\r\n");
  if (limits_.trace) {
    trace("->>", {header_size ? "HMSG" : "MSG", m.subject, sub.sid, m.reply, std::to_string(body.size())});
  }
  stats_.out_msgs += 1;
  stats_.out_bytes += body.size();
  if (replies_ && !m.reply.empty()) replies_->received(m.reply, now_);
  if (sub.max && sub.delivered >= sub.max) host_.exhausted(*this, sub);
  if (pending_bytes() > limits_.max_pending) close(CloseReason::kSlowConsumerPendingBytes);
  return true;
}

void ClientSession::remove(Subscription& sub) {
  host_.unsubscribing(*this, sub);
  subs_.erase(subs_.find(sub.sid));
}

void ClientSession::drop_subscriptions() {
  while (!subs_.empty()) {
    host_.unsubscribing(*this, *subs_.begin()->second);
    subs_.erase(subs_.begin());
  }
}

Mono ClientSession::tick(Mono now) {
  if (next_ping_.ns == 0) {
    next_ping_ = now + std::min(kFirstPing, limits_.ping_interval);
    return next_ping_;
  }
  if (now < next_ping_ || closing_) return next_ping_;
  if (pings_out_ > limits_.ping_max) {
    close(CloseReason::kStaleConnection, "Stale Connection");
    return next_ping_;
  }
  // Bytes since the last round prove that the peer lives; only silence is counted.
  if (pings_out_ == 0 || stats_.last_activity < ping_sent_) {
    ++pings_out_;
  } else {
    pings_out_ = 1;
  }
  ping_sent_ = now;
  if (limits_.trace) trace("->>", {"PING"});
  proto::append_ping(out());
  next_ping_ = now + limits_.ping_interval;
  return next_ping_;
}

}  // namespace weir::session
