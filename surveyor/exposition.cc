#include "surveyor/exposition.h"

#include <charconv>
#include <cmath>

namespace weir::surveyor {

namespace {
constexpr MetricInfo kInfos[] = {
#define METRIC(id, name, type, labels, help) {name, MetricType::type, labels, help},
#include "surveyor/metric_table.inc"
#undef METRIC
};

std::string_view type_text(MetricType t) {
  switch (t) {
    case MetricType::Gauge: return "gauge";
    case MetricType::Counter: return "counter";
    case MetricType::Histogram: return "histogram";
    case MetricType::Summary: return "summary";
  }
  return "untyped";
}

template <class T>
void append_number(std::string& out, T v) {
  char buffer[32];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, v);
  out.append(buffer, end);
}
}  // namespace

const MetricInfo& info_of(Metric m) {
  return kInfos[static_cast<std::size_t>(m)];
}

void Exposition::family(Metric m) {
  current_ = m;
  headed_ = false;
}

bool Exposition::begin(std::string_view suffix, std::string_view labels) {
  auto index = static_cast<std::size_t>(current_);
  // A limit in the middle of a histogram would leave half of it.
  if (limit_ > 0 && suffix.empty() && series_[index] >= limit_) {
    ++dropped_[index];
    return false;
  }
  ++series_[index];
  const MetricInfo& info = kInfos[index];
  if (!headed_) {
    headed_ = true;
    out_.append("# HELP ").append(info.name).append(" ").append(info.help);
    out_.append("\n# TYPE ").append(info.name).append(" ").append(type_text(info.type)).append("\n");
  }
  out_.append(info.name).append(suffix);
  if (!labels.empty()) out_.append("{").append(labels).append("}");
  out_ += ' ';
  return true;
}

void Exposition::put(std::string_view suffix, std::string_view labels, double v) {
  if (!begin(suffix, labels)) return;
  if (std::isnan(v)) {
    out_ += "NaN";
  } else if (std::isinf(v)) {
    out_ += v > 0 ? "+Inf" : "-Inf";
  } else {
    append_number(out_, v);
  }
  out_ += '\n';
}

void Exposition::put(std::string_view suffix, std::string_view labels, std::int64_t v) {
  if (!begin(suffix, labels)) return;
  append_number(out_, v);
  out_ += '\n';
}

void Exposition::put(std::string_view suffix, std::string_view labels, std::uint64_t v) {
  if (!begin(suffix, labels)) return;
  append_number(out_, v);
  out_ += '\n';
}

}  // namespace weir::surveyor
