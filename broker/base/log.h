// broker/base/log.h - where shells say what they do. Pure cores do not log.
//
// Levels: fatal = the process stops; error = an operator must act; warn = look when you have time;
// info = life events; debug and trace are off unless asked for. Lines name ids first.
#pragma once

#include <string_view>

namespace weir {

enum class Level : unsigned char { kTrace, kDebug, kInfo, kWarn, kError, kFatal };

class Log {
 public:
  virtual ~Log() = default;
  /// One line without a newline. Must not call back.
  virtual void write(Level level, std::string_view line) = 0;
  /// Asked before a costly line is built.
  virtual bool enabled(Level level) const = 0;

  void debug(std::string_view s) { line(Level::kDebug, s); }
  void info(std::string_view s) { line(Level::kInfo, s); }
  void warn(std::string_view s) { line(Level::kWarn, s); }
  void error(std::string_view s) { line(Level::kError, s); }

 private:
  void line(Level level, std::string_view s) {
    if (enabled(level)) write(level, s);
  }
};

}  // namespace weir
