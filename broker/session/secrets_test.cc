#include "broker/session/secrets.h"

#include <gtest/gtest.h>

namespace weir::session {
namespace {

TEST(HideSecrets, ReplacesEveryValueOfASecretKey) {
  EXPECT_EQ(hide_secrets(R"({"user":"u","pass":"p\"q","x":1})"), R"({"user":"u","pass":"[REDACTED]","x":1})");
  EXPECT_EQ(hide_secrets(R"({"auth_token" : "t", "sig":"s"})"),
            R"({"auth_token" : "[REDACTED]", "sig":"[REDACTED]"})");
  EXPECT_EQ(hide_secrets(R"({"pass":"a","pass":"b"})"), R"({"pass":"[REDACTED]","pass":"[REDACTED]"})");
}

TEST(HideSecrets, TakesAnything) {
  EXPECT_EQ(hide_secrets(""), "");
  EXPECT_EQ(hide_secrets(R"({"pass")"), R"({"pass")");
  EXPECT_EQ(hide_secrets(R"({"pass":"open)"), R"({"pass":"[REDACTED])");
  EXPECT_EQ(hide_secrets(R"({"pass":"x\)"), R"({"pass":"[REDACTED])");
  EXPECT_EQ(hide_secrets(R"({"pass":null})"), R"({"pass":null})");
}

}  // namespace
}  // namespace weir::session
