#include "broker/cluster/route_url.h"

#include <gtest/gtest.h>

namespace weir::cluster {
namespace {

std::string shown(std::string_view text) {
  auto url = parse_route_url(text);
  if (!url) return url.error().detail;
  return url->user + "|" + url->password + "|" + env::to_string(url->at);
}

TEST(RouteUrl, Accepts) {
  EXPECT_EQ(shown("nats-route://10.0.0.1:6222"), "||10.0.0.1:6222");
  EXPECT_EQ(shown("nats://u:p@host:1"), "u|p|host:1");
  EXPECT_EQ(shown("nats-route://u@host"), "u||host:6222");
  EXPECT_EQ(shown("host:7"), "||host:7");
  EXPECT_EQ(shown("host"), "||host:6222");
  EXPECT_EQ(shown("nats-route://[::1]:6"), "||[::1]:6");
  EXPECT_EQ(shown("[fe80::2]"), "||[fe80::2]:6222");
  EXPECT_EQ(shown("nats-route://host:6222/"), "||host:6222");
  EXPECT_EQ(shown("nats-route://a%3ab:p%40%2F%zz%4@h:1"), "a:b|p@/%zz%4|h:1");
  EXPECT_EQ(shown("nats-route://u:a:b@c@h:1"), "u|a:b@c|h:1");
}

TEST(RouteUrl, Refuses) {
  EXPECT_EQ(shown(""), "route: no host");
  EXPECT_EQ(shown(":6222"), "route: no host");
  EXPECT_EQ(shown("nats-route://u:p@"), "route: no host");
  EXPECT_EQ(shown("h:0"), "route: no port number");
  EXPECT_EQ(shown("h:65536"), "route: no port number");
  EXPECT_EQ(shown("h:x"), "route: no port number");
  EXPECT_EQ(shown("::1:6222"), "route: an IPv6 address needs brackets");
  EXPECT_EQ(shown("[::1"), "route: ']' is missing");
  EXPECT_EQ(shown("[::1]6222"), "route: text behind ']'");
  EXPECT_EQ(shown("foo:://bar"), "route: not a URL: its scheme is to be a word, like nats://");
}

}  // namespace
}  // namespace weir::cluster
