#include "surveyor/statz_decode.h"

#include "surveyor/decode_rows.h"
#include "surveyor/json_walk.h"

namespace weir::surveyor {

using walk::Err;
namespace od = simdjson::ondemand;
using Key = std::string_view;

namespace {

/// A parser that read a huge reply gives its memory back.
constexpr std::size_t kParserBytesKept = 16u << 20;

Err read_traffic(od::value v, std::uint64_t& msgs, std::uint64_t& bytes) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (k == "msgs") return walk::read(m, msgs);
    if (k == "bytes") return walk::read(m, bytes);
    return simdjson::SUCCESS;
  });
}

Err read_js_stats(od::value v, JetStreamStatsRow& js) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (k == "memory") return walk::read(m, js.memory);
    if (k == "storage") return walk::read(m, js.storage);
    if (k == "reserved_memory") return walk::read(m, js.reserved_memory);
    if (k == "reserved_storage") return walk::read(m, js.reserved_storage);
    if (k == "accounts") return walk::read(m, js.accounts);
    if (k == "ha_assets") return walk::read(m, js.ha_assets);
    if (k != "api") return simdjson::SUCCESS;
    return walk::members(m, [&](Key a, od::value n) -> Err {
      if (a == "total") return walk::read(n, js.api_total);
      if (a == "errors") return walk::read(n, js.api_errors);
      if (a == "inflight") return walk::read(n, js.api_inflight);
      return simdjson::SUCCESS;
    });
  });
}

Err read_js(od::value v, std::optional<JetStreamStatsRow>& out) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (!out) out.emplace();
    if (k == "stats") return read_js_stats(m, *out);
    if (k != "config") return simdjson::SUCCESS;
    return walk::members(m, [&](Key c, od::value n) -> Err {
      if (c == "max_memory") return walk::read(n, out->max_memory);
      if (c == "max_storage") return walk::read(n, out->max_storage);
      return simdjson::SUCCESS;
    });
  });
}

Err read_statsz(od::value v, StatszReply& s) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (k == "start") return walk::read(m, s.start);
    if (k == "mem") return walk::read(m, s.mem);
    if (k == "cores") return walk::read(m, s.cores);
    if (k == "cpu") return walk::read(m, s.cpu);
    if (k == "connections") return walk::read(m, s.connections);
    if (k == "total_connections") return walk::read(m, s.total_connections);
    if (k == "active_accounts") return walk::read(m, s.accounts);
    if (k == "subscriptions") return walk::read(m, s.subscriptions);
    if (k == "slow_consumers") return walk::read(m, s.slow_consumers);
    if (k == "sent") return read_traffic(m, s.sent_msgs, s.sent_bytes);
    if (k == "received") return read_traffic(m, s.received_msgs, s.received_bytes);
    if (k == "active_servers") return walk::read(m, s.active_servers);
    if (k == "jetstream") return read_js(m, s.jetstream);
    return simdjson::SUCCESS;
  });
}

Err read_error(od::value v, std::string& out) {
  out = "refused";
  return walk::members(v, [&](Key k, od::value m) -> Err {
    return k == "description" ? walk::read(m, out) : simdjson::SUCCESS;
  });
}

Err read_jsz(od::value v, JszPage& page) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (k == "disabled") return walk::read(m, page.disabled);
    if (k == "total") return walk::read(m, page.total_accounts);
    if (k == "now") return walk::read(m, page.server.time);
    if (k == "meta_cluster") return rows::read_meta(m, page.meta);
    if (k == "account_details") {
      return walk::items(m, [&](od::value a) { return rows::read_account(a, page.accounts.emplace_back()); });
    }
    return simdjson::SUCCESS;
  });
}

Err read_server(od::value v, ServerIdentity& s) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (k == "id") return walk::read(m, s.id);
    if (k == "name") return walk::read(m, s.name);
    if (k == "cluster") return walk::read(m, s.cluster);
    if (k == "domain") return walk::read(m, s.domain);
    if (k == "ver") return walk::read(m, s.version);
    if (k == "host") return walk::read(m, s.host);
    if (k == "jetstream") return walk::read(m, s.jetstream);
    if (k == "time") return walk::read(m, s.time);
    return simdjson::SUCCESS;
  });
}

}  // namespace

struct Decoder::Impl {
  od::parser parser;

  template <class F>
  Status top(std::string& body, ServerIdentity& server, F&& other) {
    std::size_t size = body.size();
    body.reserve(size + simdjson::SIMDJSON_PADDING);
    od::document doc;
    Err e = parser.iterate(body.data(), size, body.capacity()).get(doc);
    od::value value;
    if (!e) e = doc.get_value().get(value);
    od::json_type type = od::json_type::null;
    if (!e) e = value.type().get(type);
    if (!e && type != od::json_type::object) e = simdjson::INCORRECT_TYPE;
    if (!e) {
      e = walk::members(value, [&](Key k, od::value m) -> Err {
        return k == "server" ? read_server(m, server) : other(k, m);
      });
    }
    const char* rest = nullptr;
    if (!e && !doc.current_location().get(rest)) e = simdjson::TRAILING_CONTENT;
    if (size > kParserBytesKept) parser = od::parser();
    if (e)
      return Error(Code::kInvalid, std::string("reply is no JSON object: ") + simdjson::error_message(e));
    if (server.id.empty()) return Error(Code::kInvalid, "reply names no server id");
    return ok();
  }
};

Decoder::Decoder() : impl_(std::make_unique<Impl>()) {}
Decoder::~Decoder() = default;

Result<StatszReply> Decoder::statsz(std::string body) {
  StatszReply out;
  RETURN_IF_ERROR(impl_->top(body, out.server, [&](Key k, od::value m) -> Err {
    return k == "statsz" ? read_statsz(m, out) : simdjson::SUCCESS;
  }));
  return out;
}

Result<JszPage> Decoder::jsz(std::string body) {
  JszPage out;
  RETURN_IF_ERROR(impl_->top(body, out.server, [&](Key k, od::value m) -> Err {
    if (k == "data") return read_jsz(m, out);
    return k == "error" ? read_error(m, out.error) : simdjson::SUCCESS;
  }));
  return out;
}

Result<ServerIdentity> Decoder::event(std::string body) {
  ServerIdentity out;
  RETURN_IF_ERROR(impl_->top(body, out, [](Key, od::value) -> Err { return simdjson::SUCCESS; }));
  return out;
}

}  // namespace weir::surveyor
