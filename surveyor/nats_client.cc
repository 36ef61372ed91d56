#include "surveyor/nats_client.h"

#include <nats/nats.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string_view>
#include <vector>

namespace weir::surveyor {

namespace {
constexpr std::int64_t kReconnectWaitMs = 1'000;
constexpr std::int64_t kReconnectJitterMs = 250;
constexpr std::int64_t kPingIntervalMs = 10'000;  // a dead server is noticed after two of them
constexpr std::int64_t kCloseWaitMs = 2'000;

Status check(natsStatus s, const char* what) {
  if (s == NATS_OK) return ok();
  const char* text = nats_GetLastError(nullptr);
  return Error(Code::kInvalid, std::string(what) + ": " + (text && *text ? text : natsStatus_GetText(s)));
}
}  // namespace

struct NatsClient::Impl {
  EventQueue& queue;
  natsOptions* options = nullptr;
  natsConnection* connection = nullptr;
  std::vector<natsSubscription*> subscriptions;
  std::string inbox;  // with the last dot
  std::mutex mutex;
  std::condition_variable closed_signal;
  bool closed = false;
  std::atomic<bool> stopping{false};

  explicit Impl(EventQueue& q) : queue(q) {}

  ~Impl() {
    stopping = true;
    for (natsSubscription* s : subscriptions) natsSubscription_Unsubscribe(s);
    if (connection) {
      natsConnection_Close(connection);
      std::unique_lock lock(mutex);
      closed_signal.wait_for(lock, std::chrono::milliseconds(kCloseWaitMs), [this] { return closed; });
    }
    for (natsSubscription* s : subscriptions) natsSubscription_Destroy(s);
    if (connection) natsConnection_Destroy(connection);
    if (options) natsOptions_Destroy(options);
  }

  void change(ConnectionChange::What what, std::string detail) {
    if (!stopping) queue.push(ConnectionChange{what, std::move(detail)});
  }

  static std::string last_error(natsConnection* nc) {
    const char* text = nullptr;
    natsStatus s = natsConnection_GetLastError(nc, &text);
    if (s == NATS_OK) return "";
    return text && *text ? text : natsStatus_GetText(s);
  }
  static void on_up(natsConnection* nc, void* self) {
    char url[512] = "";
    natsConnection_GetConnectedUrl(nc, url, sizeof url);
    std::string shown = url;
    // user:password@ does not belong into a log.
    if (auto at = shown.rfind('@'); at != std::string::npos) shown.erase(0, at + 1);
    static_cast<Impl*>(self)->change(ConnectionChange::What::kUp, shown);
  }
  static void on_down(natsConnection* nc, void* self) {
    static_cast<Impl*>(self)->change(ConnectionChange::What::kDown, last_error(nc));
  }
  static void on_closed(natsConnection* nc, void* closure) {
    auto* self = static_cast<Impl*>(closure);
    self->change(ConnectionChange::What::kClosed, last_error(nc));
    // Under the lock: the destructor may go on only when this thread no longer touches the object.
    std::lock_guard lock(self->mutex);
    self->closed = true;
    self->closed_signal.notify_all();
  }
  static void on_error(natsConnection*, natsSubscription*, natsStatus, void*) {
    // Slow consumers and permission errors show in nats_survey_request_errors_total; libnats would
    // otherwise print to stderr.
  }
  static void on_message(natsConnection*, natsSubscription*, natsMsg* msg, void* closure) {
    auto* self = static_cast<Impl*>(closure);
    std::string_view subject = natsMsg_GetSubject(msg);
    Arrival a;
    if (subject.starts_with(self->inbox)) {
      a.token = subject.substr(self->inbox.size());
    } else if (subject.ends_with(".STATSZ")) {
      a.kind = Arrival::Kind::kStatsz;
    } else {
      a.kind = Arrival::Kind::kGoodbye;
    }
    a.no_responders = natsMsg_IsNoResponders(msg);
    const char* encoding = nullptr;
    if (natsMsgHeader_Get(msg, "Content-Encoding", &encoding) == NATS_OK && encoding) {
      a.gzipped = std::string_view(encoding) == "gzip";
    }
    a.data.assign(natsMsg_GetData(msg), static_cast<std::size_t>(natsMsg_GetDataLength(msg)));
    natsMsg_Destroy(msg);
    self->queue.push(std::move(a));
  }

  Status configure(const Options& o);
  Status subscribe(const std::string& subject);
};

Status NatsClient::Impl::configure(const Options& o) {
  RETURN_IF_ERROR(check(natsOptions_Create(&options), "libnats"));
  std::vector<const char*> urls;
  for (const std::string& url : o.servers) urls.push_back(url.c_str());
  RETURN_IF_ERROR(
      check(natsOptions_SetServers(options, urls.data(), static_cast<int>(urls.size())), "--servers"));
  if (!o.creds.empty()) {
    RETURN_IF_ERROR(
        check(natsOptions_SetUserCredentialsFromFiles(options, o.creds.c_str(), nullptr), "--creds"));
  }
  if (!o.user.empty()) {
    RETURN_IF_ERROR(check(natsOptions_SetUserInfo(options, o.user.c_str(), o.password.c_str()), "--user"));
  }
  natsStatus s = natsOptions_SetName(options, kConnectionName);
  if (s == NATS_OK) s = natsOptions_SetMaxReconnect(options, -1);
  if (s == NATS_OK) s = natsOptions_SetReconnectWait(options, kReconnectWaitMs);
  if (s == NATS_OK) s = natsOptions_SetReconnectJitter(options, kReconnectJitterMs, kReconnectJitterMs);
  if (s == NATS_OK) s = natsOptions_SetPingInterval(options, kPingIntervalMs);
  if (s == NATS_OK) s = natsOptions_SetRetryOnFailedConnect(options, true, on_up, this);
  if (s == NATS_OK) s = natsOptions_SetReconnectedCB(options, on_up, this);
  if (s == NATS_OK) s = natsOptions_SetDisconnectedCB(options, on_down, this);
  if (s == NATS_OK) s = natsOptions_SetClosedCB(options, on_closed, this);
  if (s == NATS_OK) s = natsOptions_SetErrorHandler(options, on_error, this);
  return check(s, "libnats options");
}

Status NatsClient::Impl::subscribe(const std::string& subject) {
  natsSubscription* s = nullptr;
  RETURN_IF_ERROR(
      check(natsConnection_Subscribe(&s, connection, subject.c_str(), on_message, this), "subscribe"));
  subscriptions.push_back(s);
  // The queue behind has its own, total limit.
  return check(natsSubscription_SetPendingLimits(s, static_cast<int>(kQueueEventsMax),
                                                 static_cast<int>(kQueueBytesMax)),
               "pending limits");
}

NatsClient::NatsClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
NatsClient::~NatsClient() = default;

Result<std::unique_ptr<NatsClient>> NatsClient::start(const Options& options, EventQueue& queue) {
  auto impl = std::make_unique<Impl>(queue);
  RETURN_IF_ERROR(impl->configure(options));
  char* inbox = nullptr;
  RETURN_IF_ERROR(check(natsInbox_Create(&inbox), "inbox"));
  impl->inbox = std::string(inbox) + ".";
  natsInbox_Destroy(inbox);
  natsStatus s = natsConnection_Connect(&impl->connection, impl->options);
  if (s != NATS_OK && s != NATS_NOT_YET_CONNECTED) return check(s, "connect").error();
  RETURN_IF_ERROR(impl->subscribe(impl->inbox + ">"));
  RETURN_IF_ERROR(impl->subscribe("$SYS.SERVER.*.STATSZ"));
  RETURN_IF_ERROR(impl->subscribe("$SYS.SERVER.*.SHUTDOWN"));
  // Connected at the first try: the callback is for later ones only.
  if (s == NATS_OK) Impl::on_up(impl->connection, impl.get());
  return std::unique_ptr<NatsClient>(new NatsClient(std::move(impl)));
}

Status NatsClient::publish(const Ask& ask) {
  natsMsg* msg = nullptr;
  std::string reply = impl_->inbox + ask.token;
  natsStatus s = natsMsg_Create(&msg, ask.subject.c_str(), reply.c_str(), ask.body.data(),
                                static_cast<int>(ask.body.size()));
  if (s == NATS_OK) s = natsMsgHeader_Set(msg, "Accept-Encoding", "gzip");
  if (s == NATS_OK) s = natsConnection_PublishMsg(impl_->connection, msg);
  if (s == NATS_OK) s = natsConnection_FlushTimeout(impl_->connection, 1);
  natsMsg_Destroy(msg);
  // A flush that takes longer than a millisecond is no failure: libnats sends on its own as well.
  if (s == NATS_OK || s == NATS_TIMEOUT) return ok();
  return Error(Code::kUnavailable, natsStatus_GetText(s));
}

}  // namespace weir::surveyor
