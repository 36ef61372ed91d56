// surveyor/exposition.h - writes families and samples in Prometheus' text format 0.0.4.
//
// Room:    pure. The format knows no order of families, but one family must stand in one place.
// Limits:  `series_limit` samples per family; what is above is counted, not written.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::surveyor {

enum class MetricType : std::uint8_t { Gauge, Counter, Histogram, Summary };

enum class Metric : std::uint16_t {
#define METRIC(id, name, type, labels, help) id,
#include "surveyor/metric_table.inc"
#undef METRIC
  kCount
};
constexpr std::size_t kMetricCount = static_cast<std::size_t>(Metric::kCount);

struct MetricInfo {
  std::string_view name;
  MetricType type;
  std::string_view labels, help;
};
const MetricInfo& info_of(Metric m);

class Exposition {
 public:
  explicit Exposition(std::size_t series_limit = 0) : limit_(series_limit) {}  // 0 = no limit

  /// Begins a family. Its HELP and TYPE lines are written with the first sample.
  void family(Metric m);
  /// One sample; `labels` as append_label() writes them.
  template <class T>
  requires(std::integral<T> || std::floating_point<T>) void sample(std::string_view labels, T value) {
    if constexpr (std::floating_point<T>) {
      put("", labels, static_cast<double>(value));
    } else if constexpr (std::signed_integral<T>) {
      put("", labels, static_cast<std::int64_t>(value));
    } else {
      put("", labels, static_cast<std::uint64_t>(value));
    }
  }
  /// One sample of a histogram or summary; `suffix` "_bucket", "_sum" or "_count".
  void part(std::string_view suffix, std::string_view labels, double value) { put(suffix, labels, value); }

  std::size_t series(Metric m) const { return series_[static_cast<std::size_t>(m)]; }
  std::size_t dropped(Metric m) const { return dropped_[static_cast<std::size_t>(m)]; }
  std::string take() { return std::move(out_); }

 private:
  bool begin(std::string_view suffix, std::string_view labels);
  void put(std::string_view suffix, std::string_view labels, double v);
  void put(std::string_view suffix, std::string_view labels, std::int64_t v);
  void put(std::string_view suffix, std::string_view labels, std::uint64_t v);

  std::size_t limit_;
  std::string out_;
  Metric current_ = Metric::kCount;
  bool headed_ = false;
  std::array<std::size_t, kMetricCount> series_{}, dropped_{};
};

}  // namespace weir::surveyor
