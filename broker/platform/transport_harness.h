// broker/platform/transport_harness.h - a handler that collects what a connection reports. Tests only.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/env/transport.h"
#include "broker/platform/loop_harness.h"

namespace weir::platform {

inline std::vector<Bytes> one(std::string_view text) {
  std::vector<Bytes> out;
  out.push_back(Bytes::copy_of(text));
  return out;
}

inline std::string pattern(std::size_t size) {
  std::string s(size, '\0');
  for (std::size_t i = 0; i < size; ++i) s[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return s;
}

// Collects what a connection reports.
struct Peer : env::ConnectionHandler {
  std::unique_ptr<env::Connection> c;
  std::string got, why;
  int drains = 0, closes = 0, inside = 0;
  std::function<void(std::string_view)> on_data;

  void data(ByteSpan bytes) override {
    EXPECT_EQ(inside, 0) << "handler called inside a call";
    got.append(as_text(bytes));
    if (on_data) on_data(as_text(bytes));
  }
  void drained() override {
    EXPECT_EQ(inside, 0);
    ++drains;
  }
  void closed(const std::string& detail) override {
    EXPECT_EQ(inside, 0);
    ++closes;
    why = detail;
  }
  void write(std::vector<Bytes> slices) {
    ++inside;
    c->write(std::move(slices));
    --inside;
  }
};

}  // namespace weir::platform
