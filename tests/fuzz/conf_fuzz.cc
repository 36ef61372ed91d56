// Feeds bytes to the configuration language: lexer, parser, options, checks, canonical text.
// Includes and environment variables lead back to a part of the text itself.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/base/check.h"
#include "broker/config/options_build.h"

namespace {

using namespace weir;
using namespace weir::config;

class EchoSource : public Source {
 public:
  explicit EchoSource(std::string text) : text_(std::move(text)) {}

  Result<std::string> read_file(const std::string& path) override {
    if (path.size() > 64 || ++reads_ > 6) return {Code::kNotFound, "no such file"};
    return text_;
  }
  std::optional<std::string> env(const std::string& name) override {
    if (name.size() % 2 == 0) return std::nullopt;
    return text_.substr(0, 64);
  }

 private:
  std::string text_;
  int reads_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string_view other = text.substr(0, size / 2);
  EchoSource source{std::string(other)};
  Loaded loaded = load_text(text, "fuzz.conf", source);
  // Every complaint is one line of text; an accepted file gives a canonical form that parses to itself.
  for (const std::string& e : loaded.errors) CHECK(!e.empty());
  if (!loaded.options.digest_text.empty()) {
    CHECK(loaded.options.digest_text.front() == '{' && loaded.options.digest_text.back() == '\n');
  }
  ConfLimits tight;
  tight.depth_max = 8;
  tight.nodes_max = 64;
  tight.text_bytes_max = 512;
  auto tree = parse_text(text, "fuzz.conf", source, tight);
  if (tree.has_value()) CHECK(tree->root.is(Value::Kind::kMap));
  return 0;
}
