#include "surveyor/options.h"

#include <gtest/gtest.h>

#include <map>

namespace weir::surveyor {
namespace {

Result<Options> parse(std::vector<std::string> args, std::map<std::string, std::string> env = {}) {
  return parse_options(args, [&](const std::string& name) -> std::optional<std::string> {
    auto it = env.find(name);
    return it == env.end() ? std::nullopt : std::optional(it->second);
  });
}

TEST(Options, Defaults) {
  auto o = parse({});
  ASSERT_TRUE(o);
  EXPECT_EQ(o->servers, std::vector<std::string>{"nats://127.0.0.1:4222"});
  EXPECT_EQ(o->port, 7777);
  EXPECT_EQ(o->addr, "0.0.0.0");
  EXPECT_EQ(o->expected, 0u);
  EXPECT_EQ(o->timeout, 3 * kSecond);
  EXPECT_EQ(o->discovery, 500 * kMillisecond);
}

TEST(Options, TheGuidesCommandLine) {
  auto o = parse({"-s", "nats://nats:4222", "-creds", "/etc/nats/creds"});
  ASSERT_TRUE(o) << o.error().detail;
  EXPECT_EQ(o->servers, std::vector<std::string>{"nats://nats:4222"});
  EXPECT_EQ(o->creds, "/etc/nats/creds");
}

TEST(Options, AllSpellings) {
  for (std::vector<std::string> args : std::vector<std::vector<std::string>>{
           {"--servers", "a,b , c"}, {"--servers=a,b,c"}, {"-servers", "a,b,c"}, {"-s=a,b,c"}}) {
    auto o = parse(args);
    ASSERT_TRUE(o) << args[0];
    EXPECT_EQ(o->servers, (std::vector<std::string>{"a", "b", "c"})) << args[0];
  }
  auto o = parse({"-p",
                  "0",
                  "-a",
                  "::1",
                  "-c",
                  "3",
                  "--timeout",
                  "2s",
                  "--server-discovery-timeout=100ms",
                  "--poll-interval",
                  "30",
                  "--log-level",
                  "DEBUG",
                  "--durable-only",
                  "--series-limit",
                  "9",
                  "--user",
                  "u",
                  "--password",
                  "p"});
  ASSERT_TRUE(o) << o.error().detail;
  EXPECT_EQ(o->port, 0);
  EXPECT_EQ(o->expected, 3u);
  EXPECT_EQ(o->interval, 30 * kSecond);
  EXPECT_EQ(o->discovery, 100 * kMillisecond);
  EXPECT_EQ(o->log_level, Level::kDebug);
  EXPECT_TRUE(o->durable_only);
  EXPECT_EQ(parse({"--count", "-1"})->expected, 0u);
  EXPECT_TRUE(parse({"--help"})->show_help);
  EXPECT_TRUE(parse({"-version"})->show_version);
}

TEST(Options, FlagsWinOverTheEnvironment) {
  std::map<std::string, std::string> env = {{"NATS_SURVEYOR_SERVERS", "env"},
                                            {"NATS_SURVEYOR_SERVER_DISCOVERY_TIMEOUT", "1s"},
                                            {"NATS_SURVEYOR_USER", "u"},
                                            {"NATS_SURVEYOR_JSZ", ""}};
  auto o = parse({"-s", "flag"}, env);
  ASSERT_TRUE(o) << o.error().detail;
  EXPECT_EQ(o->servers, std::vector<std::string>{"flag"});
  EXPECT_EQ(o->discovery, kSecond);
  EXPECT_EQ(o->user, "u");
}

TEST(Options, KubernetesServiceVariablesAreNoOptions) {
  auto o =
      parse({}, {{"NATS_SURVEYOR_PORT", "tcp://10.0.0.1:7777"}, {"NATS_SURVEYOR_SERVICE_HOST", "10.0.0.1"}});
  ASSERT_TRUE(o) << o.error().detail;
  EXPECT_EQ(o->port, 7777);
}

TEST(Options, RefusesWhatItDoesNotKnowOrDo) {
  struct Case {
    std::vector<std::string> args;
    const char* text;
    Code code;
  };
  for (const Case& c :
       std::vector<Case>{{{"--bogus"}, "unknown flag --bogus", Code::kInvalid},
                         {{"-x"}, "unknown flag -x", Code::kInvalid},
                         {{"extra"}, "unexpected argument", Code::kInvalid},
                         {{"--"}, "unexpected argument", Code::kInvalid},
                         {{"-s"}, "needs a value", Code::kInvalid},
                         {{"-s", ""}, "list of URLs", Code::kInvalid},
                         {{"-p", "65536"}, "not a port", Code::kInvalid},
                         {{"-p", "http"}, "not a port", Code::kInvalid},
                         {{"-c", "-2"}, "number of servers", Code::kInvalid},
                         {{"--timeout", "0s"}, "duration", Code::kInvalid},
                         {{"--timeout", "soon"}, "duration", Code::kInvalid},
                         {{"--poll-interval", "1ms"}, "duration", Code::kInvalid},
                         {{"--log-level", "loud"}, "one of", Code::kInvalid},
                         {{"--durable-only=maybe"}, "true or false", Code::kInvalid},
                         {{"--password", "p"}, "without --user", Code::kInvalid},
                         {{"--creds", "f", "--user", "u"}, "exclude", Code::kInvalid},
                         {{"--jsz", "all"}, "always surveyed", Code::kUnsupported},
                         {{"-http_user", "u"}, "-http_user is not built yet", Code::kUnsupported},
                         {{"--nkey=f"}, "--nkey is not built yet", Code::kUnsupported}}) {
    auto o = parse(c.args);
    ASSERT_FALSE(o) << c.args[0];
    EXPECT_NE(o.error().detail.find(c.text), std::string::npos) << o.error().detail;
    EXPECT_EQ(o.error().code, c.code) << c.args[0];
  }
  auto o = parse({}, {{"NATS_SURVEYOR_TLSCERT", "x"}});
  ASSERT_FALSE(o);
  EXPECT_EQ(o.error().code, Code::kUnsupported);
  EXPECT_FALSE(parse({}, {{"NATS_SURVEYOR_COUNT", "many"}}));
}

TEST(Options, HelpNamesEveryFlag) {
  std::string help = help_text();
  for (const char* flag :
       {"--servers", "--creds", "--user", "--password", "--port", "--addr", "--count", "--timeout",
        "--server-discovery-timeout", "--poll-interval", "--log-level", "--version", "--help"}) {
    EXPECT_NE(help.find(flag), std::string::npos) << flag;
  }
}

}  // namespace
}  // namespace weir::surveyor
