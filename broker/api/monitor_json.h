// broker/api/monitor_json.h - writers of monitoring values, shared by the encoders of this folder.
//
// Room:    pure; not for other folders.
#pragma once

#include "broker/api/json_writer.h"
#include "broker/api/monitor.h"

namespace weir::api {

void write_server_identity(JsonWriter& w, const ServerIdentity& s);
void write_client_info(JsonWriter& w, const ClientInfo& c);
void write_data_stats(JsonWriter& w, std::string_view name, const DataStats& d);
/// The members without the braces.
void write_account_stat_fields(JsonWriter& w, const AccountStat& a);
void write_js_config(JsonWriter& w, const JsServerConfig& c);
void write_js_limits(JsonWriter& w, const JsServerLimits& l);
void write_js_stats_fields(JsonWriter& w, const JsStats& s);
void write_meta_cluster(JsonWriter& w, const MetaCluster& m);
/// `with_store_dir` is false on the wire of $SYS, which hides paths of the machine.
void write_js_varz(JsonWriter& w, const JsVarz& v, bool with_store_dir);
void write_by_kind(JsonWriter& w, std::string_view name, const CountsByKind& c);

}  // namespace weir::api
