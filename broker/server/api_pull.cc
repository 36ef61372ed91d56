// CONSUMER.MSG.NEXT: a pull request. Answered with messages and status lines, never with JSON.
#include <algorithm>

#include "broker/server/api_server.h"
#include "broker/server/consumer_host.h"

namespace weir::server {

void ApiServer::next(ApiRequest& r) {
  StreamHost* stream = js_.find(*r.account, r.tokens[3]);
  ConsumerHost* consumer = stream ? stream->consumer(r.tokens[4]) : nullptr;
  // nats-server has no subscription for a consumer that is not there: the asker gets a 503.
  if (!consumer) return status(r, 503, "");
  if (r.reply.empty()) return;
  auto decoded = api::decode_next(r.body);
  if (!decoded) return status(r, 400, "Bad Request - " + decoded.error().detail);
  const auto& q = *decoded;
  jetstream::PullRequest pull;
  pull.reply = Bytes::copy_of(r.reply);
  pull.batch = static_cast<std::uint64_t>(std::max<std::int64_t>(q.batch, 1));
  pull.expires = q.expires;
  pull.max_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(q.max_bytes, 0));
  pull.no_wait = q.no_wait;
  pull.heartbeat = q.idle_heartbeat;
  consumer->pull(std::move(pull));
}

}  // namespace weir::server
