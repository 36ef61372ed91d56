#include "broker/api/connect_json.h"

#include "broker/api/json_reader.h"
#include "broker/api/json_writer.h"

namespace weir::api {

Result<proto::ConnectOptions> decode_connect(std::string_view json, const proto::ConnectOptions& base) {
  auto parsed = parse_json(json);
  if (const auto* e = std::get_if<JsonError>(&parsed)) return Error{Code::kInvalid, e->text};
  const auto& value = std::get<JsonValue>(parsed);
  if (!value.object()) return Error{Code::kInvalid, "CONNECT needs a JSON object"};
  proto::ConnectOptions o = base;
  DecodeErrors errors;
  ObjectReader r(value, errors, Strictness::kLenient);
  std::int32_t protocol = o.protocol;
  r.field("verbose", o.verbose);
  r.field("pedantic", o.pedantic);
  r.field("echo", o.echo);
  r.field("headers", o.headers);
  r.field("no_responders", o.no_responders);
  r.field("tls_required", o.tls_required);
  r.field("protocol", protocol);
  r.field("user", o.user);
  r.field("pass", o.pass);
  r.field("auth_token", o.auth_token);
  r.field("nkey", o.nkey);
  r.field("jwt", o.jwt);
  r.field("sig", o.sig);
  r.field("name", o.name);
  r.field("lang", o.lang);
  r.field("version", o.version);
  r.field("account", o.account);
  r.field("new_account", o.new_account);
  r.field("proxy_sig", o.proxy_sig);
  if (!errors.ok()) return Error{Code::kInvalid, "json: " + errors.text};
  o.protocol = protocol;
  return o;
}

std::string encode_info(const proto::ServerInfo& i) {
  std::string out;
  out.reserve(512);
  JsonWriter w(out);
  w.begin_object();
  w.field("server_id", i.server_id);
  w.field("server_name", i.server_name);
  w.field("version", i.version);
  w.field_if("weir", i.weir);
  w.field("proto", i.proto);
  w.field_if("git_commit", i.git_commit);
  w.field("go", i.go);
  w.field("host", i.host);
  w.field("port", std::uint64_t{i.port});
  w.field("headers", i.headers);
  w.field_if("auth_required", i.auth_required);
  w.field_if("tls_required", i.tls_required);
  w.field_if("tls_verify", i.tls_verify);
  w.field_if("tls_available", i.tls_available);
  w.field("max_payload", std::uint64_t{i.max_payload});
  w.field_if("jetstream", i.jetstream);
  w.field_if("client_id", i.client_id);
  w.field_if("client_ip", i.client_ip);
  w.field_if("nonce", i.nonce);
  w.field_if("cluster", i.cluster);
  w.field_if("cluster_dynamic", i.cluster_dynamic);
  w.field_if("domain", i.domain);
  w.field_if("connect_urls", i.connect_urls);
  w.field_if("ws_connect_urls", i.ws_connect_urls);
  w.field_if("ldm", i.lame_duck);
  w.field_if("xkey", i.xkey);
  w.field_if("api_lvl", i.api_lvl);
  w.field_if("connect_info", i.connect_info);
  w.field_if("remote_account", i.remote_account);
  w.field_if("acc_is_sys", i.account_system);
  w.end_object();
  return out;
}

}  // namespace weir::api
