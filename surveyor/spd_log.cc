#include "surveyor/spd_log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <string>

namespace weir::surveyor {

namespace {
spdlog::level::level_enum level_of(Level l) {
  switch (l) {
    case Level::kTrace: return spdlog::level::trace;
    case Level::kDebug: return spdlog::level::debug;
    case Level::kInfo: return spdlog::level::info;
    case Level::kWarn: return spdlog::level::warn;
    case Level::kError: return spdlog::level::err;
    case Level::kFatal: return spdlog::level::critical;
  }
  return spdlog::level::info;
}

class SpdLog final : public Log {
 public:
  explicit SpdLog(Level least) : logger_("surveyor", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger_.set_level(level_of(least));
    logger_.set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    logger_.flush_on(spdlog::level::trace);
  }
  void write(Level level, std::string_view line) override {
    // Names in a line come from servers: a line break would forge another line.
    std::string clean(line);
    for (char& c : clean) {
      if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    }
    logger_.log(level_of(level), "{}", clean);
  }
  bool enabled(Level level) const override { return logger_.should_log(level_of(level)); }

 private:
  spdlog::logger logger_;
};
}  // namespace

std::unique_ptr<Log> make_log(Level least) {
  return std::make_unique<SpdLog>(least);
}

}  // namespace weir::surveyor
