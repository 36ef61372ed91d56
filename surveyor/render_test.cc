#include "surveyor/render.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "surveyor/merge.h"
#include "surveyor/rows_testing.h"
#include "surveyor/statz_decode.h"

namespace weir::surveyor {
namespace {

using testing::read_data;

SelfView self_view() {
  SelfView s;
  s.connected = true;
  s.interval = 15 * kSecond;
  s.timeout = 3 * kSecond;
  s.connection_name = "weir-surveyor";
  s.build = {"1.2.3", "abc", "GNU-12"};
  return s;
}

PollStats poll_stats() {
  PollStats p;
  RequestStats& r = p.requests["JSZ"];
  r.duration.add(0.02);
  r.duration.add(30);
  r.last_duration_s = 0.5;
  r.last_success = {1'700'000'000 * kSecond};
  r.response_bytes = 12345;
  p.requests["round"].duration.add(0.7);
  p.errors[{"JSZ", "timeout"}] = 2;
  p.events["statsz"] = 7;
  return p;
}

/// The replies of a real cluster of three, as they came.
std::shared_ptr<const Snapshot> real_snapshot(int rounds) {
  Decoder d;
  Merger merger(MergeOptions{});
  std::shared_ptr<const Snapshot> s;
  for (int i = 0; i < rounds; ++i) {
    Round round;
    auto ping = d.statsz(read_data("statsz.json"));
    if (ping) round.add(std::move(*ping), true);
    for (const char* name : {"jsz_n3.json", "jsz_n1.json", "jsz_n2.json"}) {
      auto page = d.jsz(read_data(name));
      if (!page) continue;
      std::string id = page->server.id;
      round.add(std::move(*page));
      round.mark_complete(id);
    }
    s = merger.finish(std::move(round), Wall{1'795'423'630 * kSecond + i * 15 * kSecond});
  }
  return s;
}

// Golden file; to make it anew: WEIR_REWRITE=1 surveyor_test --gtest_filter=Render.Golden
TEST(Render, Golden) {
  Renderer renderer(RenderOptions{});
  std::string text = renderer.render(*real_snapshot(3), poll_stats(), self_view());
  if (std::getenv("WEIR_REWRITE")) {
    std::ofstream(std::string(SURVEYOR_TESTDATA) + "/golden.metrics", std::ios::binary) << text;
  }
  EXPECT_EQ(text, read_data("golden.metrics"));
}

/// Name and labels of a sample line.
std::string series_of(const std::string& line) {
  return line.substr(0, line.rfind(' '));
}

TEST(Render, EverySeriesOnceEveryFamilyInOnePlace) {
  Renderer renderer(RenderOptions{});
  std::istringstream in(renderer.render(*real_snapshot(3), poll_stats(), self_view()));
  std::set<std::string> series, families;
  std::string line, family;
  while (std::getline(in, line)) {
    if (line.starts_with("# HELP ")) {
      family = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(families.insert(family).second) << family << " in two places";
    } else if (!line.starts_with("#")) {
      EXPECT_TRUE(line.starts_with(family)) << line;
      EXPECT_TRUE(series.insert(series_of(line)).second) << line;
    }
  }
  EXPECT_GT(series.size(), 100u);
}

TEST(Render, LabelsAreThoseOfTheTable) {
  auto expand = [](std::string_view labels) {
    std::set<std::string> out;
    std::istringstream in{std::string(labels)};
    std::string word;
    while (in >> word) {
      std::string names = word == "E"   ? "cluster_name account account_name stream"
                          : word == "K" ? "cluster_name account account_name stream consumer"
                          : word == "S" ? "server_cluster server_name server_id"
                          : word == "J" ? "server_id server_name cluster_name"
                                        : word;
      std::istringstream each(names);
      std::string name;
      while (each >> name) out.insert(name);
    }
    return out;
  };
  Renderer renderer(RenderOptions{});
  std::istringstream in(renderer.render(*real_snapshot(3), poll_stats(), self_view()));
  std::string line;
  while (std::getline(in, line)) {
    if (line.starts_with("#")) continue;
    std::string name = line.substr(0, line.find_first_of("{ "));
    for (std::size_t i = 0; i < kMetricCount; ++i) {
      const MetricInfo& info = info_of(static_cast<Metric>(i));
      if (info.name != name || info.type == MetricType::Summary) continue;
      std::set<std::string> found;
      std::size_t open = line.find('{');
      // No label value of the data contains one of these characters.
      for (std::size_t at = open; at != std::string::npos && at < line.rfind('}');
           at = line.find(',', at + 1)) {
        found.insert(line.substr(at + 1, line.find('=', at) - at - 1));
      }
      EXPECT_EQ(found, expand(info.labels)) << line;
    }
  }
}

TEST(Render, DisconnectedSaysSo) {
  SelfView self = self_view();
  self.connected = false;
  Snapshot blind;
  blind.blind = true;
  blind.surveyed = 3;
  blind.expected = 3;
  blind.servers.push_back({testing::server("n1"), false, std::nullopt});
  std::string text = Renderer(RenderOptions{}).render(blind, PollStats{}, self);
  EXPECT_NE(text.find("\nnats_up 0\n"), std::string::npos);
  EXPECT_NE(text.find("\nnats_survey_surveyed_count 0\n"), std::string::npos);
  EXPECT_NE(text.find("\nnats_survey_expected_count 3\n"), std::string::npos);
  EXPECT_EQ(text.find("nats_core_"), std::string::npos);
  EXPECT_EQ(text.find("nats_survey_server_up{"), std::string::npos) << "blindness accuses nobody";
}

TEST(Render, SeriesLimitCutsAndCounts) {
  Renderer renderer(RenderOptions{1});
  for (int round = 1; round <= 2; ++round) {
    std::string text = renderer.render(*real_snapshot(1), PollStats{}, self_view());
    EXPECT_NE(text.find("nats_survey_series{family=\"nats_jetstream_stream_messages\"} 1\n"),
              std::string::npos);
    EXPECT_NE(text.find("nats_survey_series_dropped_total{family=\"nats_jetstream_stream_messages\"} " +
                        std::to_string(2 * round) + "\n"),
              std::string::npos)
        << text;
  }
}

TEST(Render, HostileNamesStayInTheirLabels) {
  Round round;
  StreamRow s = testing::stream_row("n1", 5);
  s.name = "evil\"} 1\nnats_up 7\\";
  testing::answer(round, "n1", {s});
  Merger merger(MergeOptions{});
  std::string text = Renderer(RenderOptions{})
                         .render(*merger.finish(std::move(round), Wall{kSecond}), PollStats{}, self_view());
  EXPECT_EQ(text.find("\nnats_up 7"), std::string::npos);
  EXPECT_NE(text.find(R"(stream="evil\"} 1\nnats_up 7\\")"), std::string::npos);
}

}  // namespace
}  // namespace weir::surveyor
