// tests/conformance/libnats_client.h - libnats with owners, for tests.
//
// Errors: every call returns natsStatus or a value with the JetStream error code beside it; a call that
//         must succeed goes through ok(), which fails the test with libnats's text.
#pragma once

#include <gtest/gtest.h>
#include <nats/nats.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/broker_process.h"

namespace weir::conformance {

template <auto Destroy>
struct Delete {
  template <class T>
  void operator()(T* p) const {
    Destroy(p);
  }
};
template <class T, auto Destroy>
using Owned = std::unique_ptr<T, Delete<Destroy>>;

using Message = Owned<natsMsg, natsMsg_Destroy>;
using Subscription = Owned<natsSubscription, natsSubscription_Destroy>;
using StreamInfo = Owned<jsStreamInfo, jsStreamInfo_Destroy>;
using ConsumerInfo = Owned<jsConsumerInfo, jsConsumerInfo_Destroy>;

inline void ok(natsStatus s) {
  ASSERT_EQ(s, NATS_OK) << natsStatus_GetText(s) << ": " << (nats_GetLastError(nullptr) ?: "");
}

inline std::string text_of(const natsMsg* m) {
  return m ? std::string(natsMsg_GetData(m), static_cast<std::size_t>(natsMsg_GetDataLength(m))) : "(none)";
}

inline std::string header_of(natsMsg* m, const char* key) {
  const char* value = nullptr;
  return natsMsgHeader_Get(m, key, &value) == NATS_OK && value ? value : "";
}

inline natsStatus connect(natsConnection** nc, const std::string& url,
                          const std::function<void(natsOptions*)>& change = nullptr) {
  natsOptions* options = nullptr;
  natsOptions_Create(&options);
  natsOptions_SetURL(options, url.c_str());
  natsOptions_SetMaxReconnect(options, -1);
  natsOptions_SetReconnectWait(options, 20);
  natsOptions_SetErrorHandler(
      options, [](natsConnection*, natsSubscription*, natsStatus, void*) {}, nullptr);
  if (change) change(options);
  natsStatus s = natsConnection_Connect(nc, options);
  natsOptions_Destroy(options);
  return s;
}

/// One connection with its JetStream context.
class Client {
 public:
  explicit Client(const std::string& url, const std::function<void(natsOptions*)>& change = nullptr) {
    ok(connect(&nc_, url, change));
    if (nc_) ok(natsConnection_JetStream(&js_, nc_, nullptr));
  }
  ~Client() {
    jsCtx_Destroy(js_);
    natsConnection_Destroy(nc_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  natsConnection* nc() const { return nc_; }
  jsCtx* js() const { return js_; }

  Subscription subscribe(const char* subject, const char* queue = nullptr) {
    natsSubscription* sub = nullptr;
    ok(queue ? natsConnection_QueueSubscribeSync(&sub, nc_, subject, queue)
             : natsConnection_SubscribeSync(&sub, nc_, subject));
    flush();
    return Subscription(sub);
  }
  void publish(const char* subject, std::string_view body, const char* reply = nullptr) {
    auto size = static_cast<int>(body.size());
    ok(reply ? natsConnection_PublishRequest(nc_, subject, reply, body.data(), size)
             : natsConnection_Publish(nc_, subject, body.data(), size));
  }
  void flush() { ok(natsConnection_FlushTimeout(nc_, 5000)); }

  /// Reply, or null with `status`.
  Message request(const char* subject, std::string_view body, natsStatus* status = nullptr) {
    natsMsg* m = nullptr;
    natsStatus s = natsConnection_Request(&m, nc_, subject, body.data(), static_cast<int>(body.size()), 5000);
    if (status)
      *status = s;
    else
      EXPECT_EQ(s, NATS_OK) << subject << ": " << natsStatus_GetText(s);
    return Message(m);
  }

  /// 0, or the JetStream error code.
  int add_stream(const char* name, const std::vector<const char*>& subjects,
                 const std::function<void(jsStreamConfig&)>& change = nullptr) {
    jsStreamConfig c;
    jsStreamConfig_Init(&c);
    c.Name = name;
    std::vector<const char*> list = subjects;
    c.Subjects = list.data();
    c.SubjectsLen = static_cast<int>(list.size());
    if (change) change(c);
    jsErrCode code{};
    natsStatus s = js_AddStream(nullptr, js_, &c, nullptr, &code);
    return s == NATS_OK ? 0 : code ? static_cast<int>(code) : -1;
  }

  struct Stored {
    std::uint64_t seq = 0;
    bool duplicate = false;
    int error = 0;  // JetStream error code, -1 = none came
  };
  Stored store(const char* subject, std::string_view body,
               const std::function<void(jsPubOptions&)>& change = nullptr) {
    jsPubOptions o;
    jsPubOptions_Init(&o);
    if (change) change(o);
    jsPubAck* ack = nullptr;
    jsErrCode code{};
    natsStatus s = js_Publish(&ack, js_, subject, body.data(), static_cast<int>(body.size()), &o, &code);
    Stored out;
    if (s != NATS_OK)
      out.error = code ? static_cast<int>(code) : -1;
    else
      out = {ack->Sequence, ack->Duplicate, 0};
    jsPubAck_Destroy(ack);
    return out;
  }

  StreamInfo stream(const char* name, jsOptions* options = nullptr) {
    jsStreamInfo* si = nullptr;
    js_GetStreamInfo(&si, js_, name, options, nullptr);
    return StreamInfo(si);
  }
  ConsumerInfo consumer(const char* stream, const char* name) {
    jsConsumerInfo* ci = nullptr;
    js_GetConsumerInfo(&ci, js_, stream, name, nullptr, nullptr);
    return ConsumerInfo(ci);
  }
  /// 0, or the JetStream error code.
  int add_consumer(const char* stream, const std::function<void(jsConsumerConfig&)>& change) {
    jsConsumerConfig c;
    jsConsumerConfig_Init(&c);
    c.AckPolicy = js_AckExplicit;
    change(c);
    jsErrCode code{};
    natsStatus s = js_AddConsumer(nullptr, js_, stream, &c, nullptr, &code);
    return s == NATS_OK ? 0 : code ? static_cast<int>(code) : -1;
  }
  Subscription bind_pull(const char* stream, const char* consumer) {
    jsSubOptions o;
    jsSubOptions_Init(&o);
    o.Stream = stream;
    o.Consumer = consumer;
    natsSubscription* sub = nullptr;
    ok(js_PullSubscribe(&sub, js_, nullptr, consumer, nullptr, &o, nullptr));
    return Subscription(sub);
  }

 private:
  natsConnection* nc_ = nullptr;
  jsCtx* js_ = nullptr;
};

inline Message next(const Subscription& sub, int64_t milliseconds = 5000) {
  natsMsg* m = nullptr;
  natsSubscription_NextMsg(&m, sub.get(), milliseconds);
  return Message(m);
}

/// What one pull brings; may be empty.
inline std::vector<Message> fetch(const Subscription& sub, int batch, int64_t milliseconds = 2000) {
  natsMsgList list{};
  natsSubscription_Fetch(&list, sub.get(), batch, milliseconds, nullptr);
  std::vector<Message> out;
  for (int i = 0; i < list.Count; ++i) {
    out.emplace_back(list.Msgs[i]);
    list.Msgs[i] = nullptr;
  }
  natsMsgList_Destroy(&list);
  return out;
}

struct Meta {
  std::uint64_t stream_seq = 0, consumer_seq = 0, delivered = 0, pending = 0;
};
inline Meta meta_of(natsMsg* m) {
  jsMsgMetaData* d = nullptr;
  if (natsMsg_GetMetaData(&d, m) != NATS_OK) return {};
  Meta out{d->Sequence.Stream, d->Sequence.Consumer, d->NumDelivered, d->NumPending};
  jsMsgMetaData_Destroy(d);
  return out;
}

}  // namespace weir::conformance
