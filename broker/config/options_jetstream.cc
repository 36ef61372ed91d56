// jetstream {}.
#include "broker/base/text.h"
#include "broker/config/options_builder.h"

namespace weir::config {
namespace {

using Js = JetStreamConfig;
using Limits = JetStreamLimitsConfig;

void domain(Builder& b, const Member& m, Js& js) {
  std::string name;
  if (!b.text(m, name)) return;
  if (name.find_first_of(".*> \t\r\n") != std::string::npos) {
    b.error(m.value.at, "invalid domain name: may not contain blanks, ., * or >");
    return;
  }
  js.domain = std::move(name);
}

void sync_interval(Builder& b, const Member& m, Js& js) {
  if (m.value.is(Value::Kind::kString) && to_lower(m.value.text) == "always") {
    js.sync_always = true;
    return;
  }
  Nanos interval = 0;
  if (!b.duration(m, interval)) return;
  js.sync_always = interval == 0;
  if (interval != 0) js.sync_interval = interval;
}

void extension_hint(Builder& b, const Member& m, Js& js) {
  std::string hint;
  if (!b.text(m, hint)) return;
  if (hint != "will_extend" && hint != "no_extend") {
    b.error(m.value.at, "expected 'will_extend' or 'no_extend' for \"extension_hint\", got '" + hint + "'");
    return;
  }
  js.extension_hint = std::move(hint);
}

struct Batch {
  Limits* limits = nullptr;
};
template <auto Field>
void batch_number(Builder& b, const Member& m, Batch& batch) {
  number<Field>(b, m, *batch.limits);
}
void batch_timeout(Builder& b, const Member& m, Batch& batch) {
  b.duration(m, batch.limits->batch_timeout);
}

constexpr Key<Batch> kBatchKeys[] = {
    {"max_inflight_per_stream", batch_number<&Limits::batch_max_inflight_per_stream>},
    {"max_inflight_total", batch_number<&Limits::batch_max_inflight_total>},
    {"max_msgs", batch_number<&Limits::batch_max_msgs>},
    {"timeout", batch_timeout},
};

void limits_batch(Builder& b, const Member& m, Limits& limits) {
  Batch batch{&limits};
  b.block<Batch>(m, kBatchKeys, batch);
}

constexpr Key<Limits> kLimitKeys[] = {
    {"max_ack_pending", number<&Limits::max_ack_pending, -1>},
    {"max_ha_assets", number<&Limits::max_ha_assets, -1>},
    {"max_request_batch", number<&Limits::max_request_batch, -1>},
    {"duplicate_window", duration<&Limits::duplicate_window>},
    {"batch", limits_batch},
};

void limits(Builder& b, const Member& m, Js& js) {
  b.block<Limits>(m, kLimitKeys, js.limits);
}

constexpr Feature kKeys = Feature::kEncryptionAtRest;

constexpr Key<Js> kJetStreamKeys[] = {
    {"enabled|enable", flag<&Js::enabled>},
    {"store_dir|store|storedir", text<&Js::store_dir>},
    {"max_memory_store|max_mem_store|max_mem", storage_size<&Js::max_memory_store>},
    {"max_file_store|max_file", storage_size<&Js::max_file_store>},
    {"domain", domain},
    {"sync_interval|sync", sync_interval},
    {"strict", flag<&Js::strict>},
    {"unique_tag", text<&Js::unique_tag>},
    {"max_outstanding_catchup", storage_size<&Js::max_outstanding_catchup>},
    {"max_buffered_msgs", number<&Js::max_buffered_msgs>},
    {"max_buffered_size", storage_size<&Js::max_buffered_size>},
    {"request_queue_limit", number<&Js::request_queue_limit>},
    {"info_queue_limit", number<&Js::info_queue_limit>},
    {"limits", limits},
    no_effect<Js>("extension_hint", extension_hint),
    no_effect<Js>("meta_compact", number<&Js::meta_compact>),
    no_effect<Js>("meta_compact_size", storage_size<&Js::meta_compact_size>),
    no_effect<Js>("meta_compact_sync", flag<&Js::meta_compact_sync>),
    no_effect<Js>("max_concurrent_io", number<&Js::max_concurrent_io, 4, 8192>),
    needs<Js>(kKeys, "key|ek|encryption_key", any_text<Js>),
    needs<Js>(kKeys, "prev_key|prev_ek|prev_encryption_key", any_text<Js>),
    needs<Js>(kKeys, "cipher", any_text<Js>),
    needs<Js>(kKeys, "tpm", check_tpm),
};

}  // namespace

void read_jetstream(Builder& b, const Member& m, Options& o) {
  JetStreamConfig js;
  js.at = m.at;
  if (m.value.is(Value::Kind::kBool)) {
    js.enabled = m.value.boolean;
  } else if (m.value.is(Value::Kind::kString)) {
    std::string word = to_lower(m.value.text);
    if (word != "enabled" && word != "enable" && word != "disabled" && word != "disable") {
      b.error(m.value.at, "Expected 'enabled' or 'disabled' for string value, got '" + m.value.text + "'");
      return;
    }
    js.enabled = word[0] == 'e';
  } else if (m.value.is(Value::Kind::kMap)) {
    js.enabled = true;
    b.block<Js>(m, kJetStreamKeys, js);
  } else {
    b.error(m.value.at,
            "Expected map, bool or string to define JetStream, got " + std::string(kind_name(m.value.kind)));
    return;
  }
  o.jetstream = std::move(js);
}

}  // namespace weir::config
