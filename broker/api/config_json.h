// broker/api/config_json.h - field lists of the configurations, shared by the coders of this folder.
//
// Room:    pure; not for other folders, which use the encode_/decode_ functions.
#pragma once

#include "broker/api/consumer_config.h"
#include "broker/api/json_reader.h"
#include "broker/api/json_writer.h"
#include "broker/api/stream_config.h"

namespace weir::api {

void read_stream_config(ObjectReader& r, StreamConfig& c);
void read_consumer_config(ObjectReader& r, ConsumerConfig& c);
void read_placement(ObjectReader& r, Placement& p);

/// Each writes one value (an object) at the writer's place.
void write_stream_config(JsonWriter& w, const StreamConfig& c);
void write_consumer_config(JsonWriter& w, const ConsumerConfig& c);
void write_placement(JsonWriter& w, const Placement& p);
void write_external(JsonWriter& w, const ExternalStream& e);
void write_transforms(JsonWriter& w, const std::vector<SubjectTransform>& list);

}  // namespace weir::api
