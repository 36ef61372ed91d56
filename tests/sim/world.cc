#include "tests/sim/world.h"

#include <cstdio>
#include <utility>

#include "broker/base/text.h"

namespace weir::sim {

namespace {
constexpr std::size_t kKept = 400;
}

void Verdict::fail(const std::string& what) {
  if (failed()) return;
  text_ = what;
  if (on_fail) on_fail(what);
}

void EventLog::add(const std::string& line) {
  char at[32];
  std::snprintf(at, sizeof at, "%12.6f ", static_cast<double>(time_.now().ns) / 1e9 - 1000.0);
  if (verbose) std::printf("%s%s\n", at, line.c_str());
  if (lines_.size() >= 2 * kKept) lines_.erase(lines_.begin(), lines_.begin() + kKept);
  lines_.push_back(at + line);
}

void SimNode::NodeLog::write(Level level, std::string_view text) {
  node_.events_.add(node_.name() + " log: " + std::string(text));
  if (level < Level::kError || node_.expect_errors || node_.disk_full || node_.damaged_ || node_.dying_)
    return;
  // Said by the meta group's leader of what another node lost; whether it may be lost is the checkers' to
  // say.
  if (text.find("no majority of its replicas has its messages any more") != std::string_view::npos) return;
  // ReplicaCheck counts these.
  if (text.find("replicas differ at entry") != std::string_view::npos ||
      text.find("is not what a majority has") != std::string_view::npos)
    return;
  node_.verdict_.fail(node_.name() + " logged an error without a fault: " + std::string(text));
}

SimNode::SimNode(env::testing::SimTime& time, SimNet& net, unsigned number, Options options, Verdict& verdict,
                 EventLog& events)
    : time_(time),
      options_(std::move(options)),
      verdict_(verdict),
      events_(events),
      prng_(options_.seed),
      loop_(time),
      outside_(time),
      disk_(loop_, loop_, prng_.next(), options_.disk),
      host_(net, loop_, "10.0.0." + std::to_string(number + 1)),
      random_(prng_.next()),
      log_(*this),
      env_{loop_, loop_, disk_, host_, random_, process_, log_},
      number_(number) {
  loop_.set_skew(options_.mono_skew, options_.wall_skew);
}

SimNode::~SimNode() {
  node_.reset();
  loop_.forget_all();
}

void SimNode::start() {
  ++lives_;
  events_.add(name() + " starts, life " + std::to_string(lives_));
  host_.up();
  fatal_ = stopped_ = false;
  if (before_start) before_start();
  node_ = std::make_unique<server::Node>(env_, options_.config, options_.tuning);
  node_->on_fatal([this](const Error& e) {
    events_.add(name() + " fatal: " + e.to_string());
    fatal_ = true;
  });
  Status s = node_->start();
  if (s) {
    if (on_start) on_start();
    return;
  }
  events_.add(name() + " does not start: " + s.error().to_string());
  if (!dying_ && damaged_) {
    events_.add(name() + ": its operator gives it an empty disk");
    disk_lost_ = true;
  } else if (!dying_ && !expect_errors && !disk_full) {
    verdict_.fail(name() + " does not start: " + s.error().to_string());
  }
  if (!dying_) {
    dying_ = Death::kKill;
    back_after_ = kSecond;
  }
}

void SimNode::first_start() {
  come_back(0);
}

void SimNode::die(Death how, Nanos back_after) {
  if (!node_ || dying_) return;
  back_after_ = back_after;
  if (how == Death::kStop) {
    events_.add(name() + " is stopped");
    node_->stop([this] { stopped_ = true; });
    return;
  }
  dying_ = how;
}

void SimNode::lose_disk(Nanos back_after) {
  if (!node_ || dying_) return;
  disk_lost_ = true;
  die(Death::kKill, back_after);
}

void SimNode::rot(const std::vector<std::string>& files) {
  damaged_ = true;
  if (on_damage) on_damage();
  for (const std::string& path : files) {
    std::size_t size = disk_.content(path).value_or("").size();
    if (size == 0) continue;
    std::uint64_t at = prng_.below(size);
    events_.add(name() + ": a bit of " + path + " flips, byte " + std::to_string(at) + " of " +
                std::to_string(size));
    (void)disk_.flip_bit(path, at, static_cast<unsigned>(prng_.below(8)));
  }
}

void SimNode::fail_reads(const std::vector<std::string>& files) {
  expect_errors = true;
  for (const std::string& path : files) {
    std::size_t size = disk_.content(path).value_or("").size();
    if (size == 0) continue;
    std::uint64_t at = prng_.below(size);
    events_.add(name() + ": reads of " + path + " fail at byte " + std::to_string(at));
    disk_.fail_reads(path, at, prng_.between(1, 8192));
  }
}

void SimNode::pause(Nanos d) {
  if (!node_ || dying_) return;
  events_.add(name() + " is paused for " + std::to_string(d / kMillisecond) + " ms");
  loop_.pause(time_.now() + d);
}

void SimNode::jump(Nanos d) {
  events_.add(name() + ": the clock jumps by " + std::to_string(d / kMillisecond) + " ms");
  options_.wall_skew += d;
  loop_.set_skew(options_.mono_skew, options_.wall_skew);
}

void SimNode::hurry() {
  back_after_ = 0;  // of one that is about to end
  if (!back_) return;
  outside_.cancel(back_);
  come_back(0);
}

void SimNode::power_fails_at(std::uint64_t operation, Nanos back_after) {
  if (dying_) return;
  disk_.on_frozen([this, back_after] {
    if (dying_) return;
    dying_ = Death::kPower;
    back_after_ = back_after;
    host_.down();  // nothing that the rest of this turn says gets out
  });
  disk_.crash_at(operation);
}

void SimNode::cancel_power_failure() {
  if (dying_) return;
  disk_.on_frozen(nullptr);
  disk_.crash_at(0);
}

void SimNode::settle() {
  if (node_ && !dying_ && fatal_) {
    if (!expect_errors && !disk_full) verdict_.fail("the node gave up its disk without a fault");
    dying_ = prng_.chance(1, 2) ? Death::kPower : Death::kKill;
    back_after_ = kSecond;
  }
  if (node_ && !dying_ && stopped_) {
    events_.add(name() + " has stopped");
    bury(prng_.chance(1, 2));
    return come_back(back_after_);
  }
  if (!dying_) return;
  bool power = *dying_ == Death::kPower || disk_.frozen();
  events_.add(name() + (power ? " loses power" : " is killed"));
  bury(power);
  come_back(back_after_);
}

void SimNode::bury(bool power) {
  host_.down();
  dying_ = power ? Death::kPower : Death::kKill;
  // The node's destructor must not do what a dead process cannot: the disk is frozen for it.
  disk_.on_frozen(nullptr);
  disk_.crash_at(1);
  (void)disk_.mkdirs("x");
  node_.reset();
  // Before the loop forgets: its timers hold the writes under way.
  if (power)
    disk_.crash(prng_);
  else
    disk_.kill(prng_);
  if (std::exchange(disk_lost_, false)) {
    events_.add(name() + " lost its disk");
    disk_.wipe();
    damaged_ = true;
    if (on_damage) on_damage();
  }
  loop_.forget_all();
  disk_.clear_faults();
  ++deaths[power ? 0 : 1];
  dying_.reset();
  fatal_ = stopped_ = false;
  if (on_end) on_end();
}

void SimNode::come_back(Nanos after) {
  back_ = outside_.at(outside_.now() + after, [this] {
    back_ = 0;
    expect_errors = false;
    loop_.post([this] { start(); });
  });
}

}  // namespace weir::sim
