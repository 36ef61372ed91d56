#include "broker/config/reload_diff.h"

#include <gtest/gtest.h>

#include "broker/config/options_build.h"
#include "broker/config/testing_source.h"

namespace weir::config {
namespace {

ReloadDiff diff(std::string_view before, std::string_view after) {
  MapSource source;
  return reload_diff(load_text(before, "f", source).options, load_text(after, "f", source).options);
}
using Keys = std::vector<std::string>;

TEST(Reload, SameMeaningIsNoChange) {
  EXPECT_TRUE(diff("port: 4222\ndebug: true", "# moved\n\ndebug: on\nPort = 4222").empty());
  EXPECT_TRUE(diff("authorization {users: [{user: a}]}", "\n\nauthorization {users: [{user: a}]}").empty());
}

TEST(Reload, WhatMayChange) {
  EXPECT_EQ(diff("debug: true", "debug: false").reloadable, Keys{"logging"});
  EXPECT_EQ(
      diff("authorization {users: [{user: a}]}", "authorization {users: [{user: a, pass: b}]}").reloadable,
      Keys{"authorization"});
  EXPECT_EQ(diff("accounts {A {}}", "accounts {A {users: [{user: u}]}}").reloadable, Keys{"accounts"});
  EXPECT_EQ(diff("server_tags: [a, b]", "server_tags: [ab]").reloadable, Keys{"server_tags"});
  EXPECT_TRUE(diff("max_payload: 1MB", "max_payload: 2MB").restart.empty());
}

TEST(Reload, WhatNeedsARestart) {
  ReloadDiff d = diff("port: 4222\nmax_payload: 1k", "port: 4223\nmax_payload: 2k");
  EXPECT_EQ(d.restart, Keys{"listen"});
  EXPECT_EQ(d.reloadable, Keys{"max_payload"});
  EXPECT_EQ(d.refusals(), Keys{"config reload not supported for listen: it needs a restart"});
  EXPECT_EQ(diff("jetstream {store_dir: a}", "jetstream {store_dir: b}").restart, Keys{"store_dir"});
}

TEST(Reload, RoomMayGrowOnly) {
  EXPECT_EQ(diff("jetstream {max_file: 1G}", "jetstream {max_file: 2G}").reloadable,
            Keys{"jetstream.max_file_store"});
  EXPECT_EQ(diff("jetstream {max_file: 2G}", "jetstream {max_file: 1G}").restart,
            Keys{"jetstream.max_file_store"});
  EXPECT_EQ(diff("jetstream {max_file: 2G}", "jetstream {}").restart, Keys{"jetstream.max_file_store"});
}

}  // namespace
}  // namespace weir::config
