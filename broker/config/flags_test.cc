#include "broker/config/flags.h"

#include <gtest/gtest.h>

#include "broker/config/options_build.h"
#include "broker/config/testing_source.h"

namespace weir::config {
namespace {

using Action = CommandLine::Action;
using Args = std::vector<std::string>;

TEST(Flags, DashesAndValues) {
  for (const Args& args : {Args{"-p", "4333"}, Args{"--p", "4333"}, Args{"-p=4333"}, Args{"--port=4333"},
                           Args{"-port", "4333"}, Args{"-p", "1", "-p", "4333"}, Args{"-p", "+4333"}}) {
    CommandLine c = parse_command_line(args);
    EXPECT_EQ(c.action, Action::kRun);
    EXPECT_EQ(c.flags.port, 4333);
  }
  EXPECT_EQ(parse_command_line({"-m", "-1"}).flags.http_port, -1);
  EXPECT_EQ(parse_command_line({"-sd=/x=y"}).flags.store_dir, "/x=y");
  EXPECT_EQ(parse_command_line({"--addr", "::"}).flags.host, "::");
}

TEST(Flags, Booleans) {
  EXPECT_EQ(parse_command_line({"-js"}).flags.jetstream, true);
  EXPECT_EQ(parse_command_line({"-js=false"}).flags.jetstream, false);
  EXPECT_EQ(parse_command_line({"-T=0"}).flags.logtime, false);
  CommandLine c = parse_command_line({"-DVV"});
  EXPECT_EQ(c.flags.debug, true);
  EXPECT_EQ(c.flags.trace, true);
  EXPECT_EQ(c.flags.trace_verbose, true);
  // A value after a blank is a word of its own.
  c = parse_command_line({"-D", "false"});
  EXPECT_EQ(c.action, Action::kExit);
  EXPECT_EQ(c.exit_code, 1);
  EXPECT_EQ(c.err, "unrecognized command: \"false\"\n");
}

TEST(Flags, WrongOnesShowUsage) {
  struct Row {
    Args args;
    const char* err;
  };
  for (const Row& row : {Row{{"--nosuch"}, "flag provided but not defined: -nosuch\n"},
                         Row{{"-p"}, "flag needs an argument: -p\n"},
                         Row{{"-p", "x"}, "invalid value \"x\" for flag -p: parse error\n"},
                         Row{{"-p=1=2"}, "invalid value \"1=2\" for flag -p: parse error\n"},
                         Row{{"-D=maybe"}, "invalid boolean value \"maybe\" for -D: parse error\n"},
                         Row{{"---x"}, "bad flag syntax: ---x\n"}, Row{{"-=x"}, "bad flag syntax: -=x\n"}}) {
    CommandLine c = parse_command_line(row.args);
    EXPECT_EQ(c.action, Action::kExit);
    EXPECT_EQ(c.exit_code, 0);
    EXPECT_EQ(c.err, row.err);
    EXPECT_EQ(c.out, usage());
  }
}

TEST(Flags, Words) {
  EXPECT_EQ(parse_command_line({"version"}).action, Action::kVersion);
  EXPECT_EQ(parse_command_line({"-v"}).action, Action::kVersion);
  EXPECT_EQ(parse_command_line({"help"}).out, usage());
  EXPECT_EQ(parse_command_line({"-h"}).exit_code, 0);
  EXPECT_EQ(parse_command_line({"--", "-p"}).err, "unrecognized command: \"-p\"\n");
  EXPECT_EQ(parse_command_line({"-"}).err, "unrecognized command: \"-\"\n");
  EXPECT_FALSE(parse_command_line({"--help_tls"}).out.empty());
}

TEST(Flags, TestNeedsAFile) {
  EXPECT_EQ(parse_command_line({"-t", "-c", "x"}).action, Action::kTest);
  CommandLine c = parse_command_line({"-t"});
  EXPECT_EQ(c.action, Action::kExit);
  EXPECT_EQ(c.exit_code, 1);
}

TEST(Flags, Signals) {
  CommandLine c = parse_command_line({"--signal", "ldm=/run/x.pid"});
  EXPECT_EQ(c.action, Action::kSignal);
  EXPECT_EQ(c.signal.signal, Signal::kLameDuck);
  EXPECT_EQ(c.signal.target, "/run/x.pid");
  c = parse_command_line({"-sl=reload=12"});
  EXPECT_EQ(c.signal.signal, Signal::kReload);
  EXPECT_EQ(c.signal.target, "12");
  EXPECT_EQ(parse_command_line({"-sl", "stop"}).signal.target, "");
  EXPECT_EQ(parse_command_line({"-sl", "dance"}).exit_code, 1);
}

TEST(Flags, SecretsAreLocated) {
  Args args = {"--user", "u", "--pass=secret", "--auth", "t"};
  CommandLine c = parse_command_line(args);
  ASSERT_EQ(c.secrets.size(), 3u);
  EXPECT_EQ(args[c.secrets[1].index].substr(c.secrets[1].offset), "secret");
  EXPECT_EQ(args[c.secrets[2].index].substr(c.secrets[2].offset), "t");
}

TEST(Flags, OverrideTheFile) {
  MapSource source;
  source.files["f"] = "listen: 1.2.3.4:1\njetstream {store_dir: /file}\nserver_name: a\ndebug: true";
  CommandLine c = parse_command_line(
      {"-c", "f", "-a", "127.0.0.1", "-p", "-1", "-sd", "/flag", "-n", "b", "-D=false", "-m", "0"});
  Loaded l = load(c.flags, source);
  ASSERT_TRUE(l.good()) << l.errors[0];
  EXPECT_EQ(l.options.host, "127.0.0.1");
  EXPECT_EQ(l.options.port, -1);
  EXPECT_EQ(l.options.effective_store_dir(), "/flag");
  EXPECT_EQ(l.options.server_name, "b");
  EXPECT_FALSE(l.options.debug);
}

TEST(Flags, OutOfRangeAndContradictions) {
  MapSource source;
  for (const Args& args :
       {Args{"-p", "70000"}, Args{"-m", "-2"}, Args{"-n", "a b"}, Args{"--pass", "x"},
        Args{"--user", "a", "--pass", "b", "--auth", "c"}, Args{"--cluster", "foo"},
        Args{"--routes", "nats://a:1"}, Args{"--routes", "zz", "--cluster", "nats://a:1"}}) {
    EXPECT_FALSE(load(parse_command_line(args).flags, source).good()) << args[0];
  }
}

TEST(Flags, TlsOfClients) {
  MapSource source;
  auto loaded = [&](const Args& args) { return load(parse_command_line(args).flags, source); };
  Loaded l = loaded({"--tlsverify", "--tlscert", "c", "--tlskey", "k", "--tlscacert", "ca"});
  ASSERT_TRUE(l.good());
  EXPECT_TRUE(l.options.tls.present && l.options.tls.verify);
  ASSERT_EQ(l.options.tls.certs.size(), 1u);
  EXPECT_EQ(l.options.tls.certs[0].cert_file + l.options.tls.certs[0].key_file + l.options.tls.ca_file,
            "ckca");
  EXPECT_TRUE(loaded({"--tls", "--tlscert", "c", "--tlskey", "k"}).good());
  EXPECT_EQ(loaded({"--tls"}).errors,
            std::vector<std::string>{"missing 'cert_file' and 'key_file' in TLS configuration"});
  EXPECT_EQ(loaded({"--tlscert", "c"}).errors,
            std::vector<std::string>{"missing 'key_file' in TLS configuration"});
}

TEST(Flags, FeaturesThatAreMissingAreRefused) {
  MapSource source;
  for (const Args& args :
       {Args{"-s"}, Args{"-r", "udp://x"}, Args{"--log_size_limit", "5"}, Args{"-ms", "8443"}}) {
    Loaded l = load(parse_command_line(args).flags, source);
    ASSERT_EQ(l.errors.size(), 1u) << args[0];
    EXPECT_NE(l.errors[0].find("is not supported by this version of weir-broker"), std::string::npos);
  }
  EXPECT_TRUE(load(parse_command_line({"--tls=false", "-s=false"}).flags, source).good());
  Loaded l = load(parse_command_line({"--profile", "6060"}).flags, source);
  EXPECT_TRUE(l.good());
  EXPECT_EQ(l.warnings.size(), 1u);
}

TEST(Flags, Cluster) {
  MapSource source;
  Loaded l = load(parse_command_line({"--cluster", "nats://u:p@127.0.0.1:-1", "--cluster_name", "c",
                                      "--routes", "nats://a:1, nats-route://b:2", "--no_advertise"})
                      .flags,
                  source);
  const ClusterConfig& c = l.options.cluster;
  EXPECT_TRUE(c.present);
  EXPECT_EQ(c.host, "127.0.0.1");
  EXPECT_EQ(c.port, -1);
  EXPECT_EQ(c.user, "u");
  EXPECT_EQ(c.password, "p");
  ASSERT_EQ(c.routes.size(), 2u);
  EXPECT_EQ(c.routes[1].first, "nats-route://b:2");
  EXPECT_TRUE(c.no_advertise);
  EXPECT_EQ(l.good(), is_built(Feature::kCluster));
  EXPECT_TRUE(l.warnings.empty());
  l = load(parse_command_line({"--connect_retries", "5"}).flags, source);
  EXPECT_TRUE(l.good());
  EXPECT_EQ(l.warnings.size(), 1u);
}

}  // namespace
}  // namespace weir::config
