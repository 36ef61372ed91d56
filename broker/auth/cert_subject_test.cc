#include "broker/auth/cert_subject.h"

#include <gtest/gtest.h>

#include "broker/auth/accounts.h"

namespace weir::auth {
namespace {

TEST(CertSubject, OrderAndBlanksDoNotMatter) {
  EXPECT_TRUE(same_subject("CN=n1,O=Weir", "CN=n1,O=Weir"));
  EXPECT_TRUE(same_subject("O=Weir, CN=n1", "CN=n1,O=Weir"));
  EXPECT_TRUE(same_subject(" cn =n1 ,o=Weir ", "CN=n1,O=Weir"));
  EXPECT_TRUE(same_subject("CN=a\\,b,O=c", "O=c,CN=a\\,b"));
}

TEST(CertSubject, EverythingElseDoes) {
  for (const char* other : {"", " ", "CN=n1", "CN=n2,O=Weir", "CN=N1,O=Weir", "CN=n1,O=Weir,O=Weir", "n1",
                            "CN=n1,O=Weir\\", "CN=n1\\,O=Weir", ","}) {
    EXPECT_FALSE(same_subject(other, "CN=n1,O=Weir")) << other;
    EXPECT_FALSE(same_subject("CN=n1,O=Weir", other)) << other;
  }
  EXPECT_FALSE(same_subject("", ""));
}

config::UserConfig user(const std::string& name) {
  config::UserConfig u;
  u.name = name;
  u.password = "secret";
  return u;
}

TEST(CertUsers, TheFirstNameThatIsAUsersCounts) {
  config::Options options;
  options.authorization.users = {user("a@b.c"), user("host.example"), user("O=Weir, CN=app"),
                                 user("CN=x,O=y")};
  options.authorization.users.back().connection_types = {"WEBSOCKET"};
  AuthTable table(options);
  auto who = [&](std::vector<std::string> names, std::string subject) {
    CertificateNames certificate{std::move(names), std::move(subject)};
    Credentials c;
    c.user = "a@b.c";  // not looked at
    c.password = "secret";
    c.certificate = &certificate;
    auto found = table.authenticate(c);
    return found ? found->user : "-";
  };
  EXPECT_EQ(who({"a@b.c", "host.example"}, "CN=app,O=Weir"), "a@b.c");
  EXPECT_EQ(who({"z", "host.example"}, "CN=app,O=Weir"), "host.example");
  EXPECT_EQ(who({}, "CN=app,O=Weir"), "O=Weir, CN=app");
  EXPECT_EQ(who({"A@B.C"}, "CN=app"), "-");
  EXPECT_EQ(who({}, ""), "-") << "no certificate at all";
  EXPECT_EQ(who({}, "CN=x,O=y"), "-") << "connections of another type only";
}

}  // namespace
}  // namespace weir::auth
