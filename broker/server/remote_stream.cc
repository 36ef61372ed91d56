#include "broker/server/remote_stream.h"

#include "broker/server/cluster_side.h"

namespace weir::server {

void forward_publish(JsContext& js, GroupId group, Account& account, const session::Inbound& m) {
  NodeId leader = js.cluster ? js.cluster->leader_of(group) : NodeId();
  if (leader.v != 0 && leader != js.self) {
    Forwarded f{ForwardKind::kPublish, 0, group, account.name, m.subject, m.reply, m.header_size, m.body};
    if (js.cluster->forward(leader, f, m.shared)) return;
  }
  if (!m.reply.empty()) js.unserved.emplace_back(&account, m.reply);
}

RemoteStream::RemoteStream(JsContext& js, Account& account, GroupId group,
                           const std::vector<std::string>& subjects)
    : js_(js), account_(account), group_(group) {
  resubscribe(subjects);
}

RemoteStream::~RemoteStream() {
  unsubscribe();
}

void RemoteStream::unsubscribe() {
  for (auto& sub : subscriptions_) js_.router.remove(account_, *sub);
  subscriptions_.clear();
}

void RemoteStream::resubscribe(const std::vector<std::string>& subjects) {
  unsubscribe();
  for (const std::string& subject : subjects) {
    auto sub = std::make_unique<session::Subscription>();
    sub->subject = subject;
    sub->listener = this;
    sub->everywhere = true;
    js_.router.add(account_, *sub);
    subscriptions_.push_back(std::move(sub));
  }
}

}  // namespace weir::server
