// broker/api/api_level.h - the JetStream API level of assets, kept in their metadata.
//
// Room:    pure.
// Rules:   stored metadata always has "_nats.req.level", the lowest level that understands the asset;
//          "_nats.ver" and "_nats.level" are of the answering server, added to replies to create,
//          update and info, and never stored.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "broker/api/consumer_config.h"
#include "broker/api/stream_config.h"

namespace weir::api {

constexpr std::string_view kMetaRequiredLevel = "_nats.req.level";
constexpr std::string_view kMetaServerVersion = "_nats.ver";
constexpr std::string_view kMetaServerLevel = "_nats.level";

/// The lowest API level that understands the configuration.
int required_api_level(const StreamConfig& config);
int required_api_level(const ConsumerConfig& config);

/// Sets "_nats.req.level" and removes what is never stored.
void set_stored_metadata(StreamConfig& config);
void set_stored_metadata(ConsumerConfig& config);

/// Adds the answering server's version and level.
void add_reply_metadata(Metadata& metadata, std::string_view version, int level);

/// The level that an asset's metadata asks for; 0 if absent, -1 if it is not a number.
int stored_api_level(const Metadata& metadata);

/// Sum of the lengths of keys and values.
std::size_t metadata_bytes(const Metadata& metadata);

/// Equal but for the three keys above: the question that create asks of an existing asset.
bool same_config(const StreamConfig& a, const StreamConfig& b);
bool same_config(const ConsumerConfig& a, const ConsumerConfig& b);

}  // namespace weir::api
