#include "broker/api/error.h"

#include <gtest/gtest.h>

namespace weir::api {
namespace {

constexpr ErrCode kAll[] = {
#define X(http, err_code, name, constant, text) ErrCode::name,
#include "broker/api/error_table.inc"
#undef X
};

TEST(Error, TableIsSortedAndComplete) {
  EXPECT_EQ(std::size(kAll), 226u);
  for (std::size_t i = 1; i < std::size(kAll); ++i) EXPECT_LT(kAll[i - 1], kAll[i]);
}

TEST(Error, EveryCodeCanBeFormatted) {
  for (const auto code : kAll) {
    const auto* row = find_error(code);
    ASSERT_NE(row, nullptr);
    const auto error = make_error(code, {"one", "two"});
    EXPECT_EQ(error.err_code, code);
    EXPECT_EQ(error.http_code, row->http_code);
    EXPECT_EQ(error.description.find('{'), std::string::npos) << error.description;
    EXPECT_FALSE(error.description.empty());
    EXPECT_EQ(row->constant.substr(0, 2), "JS");
    EXPECT_EQ(err_code_from_number(static_cast<std::uint64_t>(code)), code);
  }
}

TEST(Error, PlaceholdersAreFilledInOrder) {
  EXPECT_EQ(make_error(ErrCode::kStreamWrongLastSequence, "7").description, "wrong last sequence: 7");
  EXPECT_EQ(make_error(ErrCode::kRestoreSubscribeFailed, {"a.b", "why"}).description,
            "JetStream unable to subscribe to restore snapshot a.b: why");
  EXPECT_EQ(make_error(ErrCode::kStreamWrongLastSequence).description, "wrong last sequence: {seq}");
  EXPECT_EQ(make_error(ErrCode::kStreamNotFound, "surplus").description, "stream not found");
  EXPECT_EQ(make_error(ErrCode::kInvalidJSON, "a {b} c").description, "invalid JSON: a {b} c");
}

TEST(Error, UnknownCodes) {
  EXPECT_EQ(find_error(ErrCode::kNone), nullptr);
  EXPECT_FALSE(err_code_from_number(0));
  EXPECT_FALSE(err_code_from_number(10001));
  EXPECT_FALSE(err_code_from_number(10059 + 65536));
  EXPECT_EQ(make_error(static_cast<ErrCode>(1), "x").err_code, ErrCode::kStreamGeneral);
}

}  // namespace
}  // namespace weir::api
