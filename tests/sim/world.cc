#include "tests/sim/world.h"

#include <cstdio>

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
  node_.events_.add("n" + std::to_string(node_.number_) + " log: " + std::string(text));
  if (level < Level::kError || node_.expect_errors || node_.disk_full || node_.dying_) return;
  node_.verdict_.fail("error logged without a fault: " + std::string(text));
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
  events_.add("n" + std::to_string(number_) + " starts, life " + std::to_string(lives_));
  host_.up();
  fatal_ = stopped_ = false;
  if (before_start) before_start();
  node_ = std::make_unique<server::Node>(env_, options_.config, options_.tuning);
  node_->on_fatal([this](const Error& e) {
    events_.add("n" + std::to_string(number_) + " fatal: " + e.to_string());
    fatal_ = true;
  });
  Status s = node_->start();
  if (s) {
    if (on_start) on_start();
    return;
  }
  if (!dying_ && !expect_errors && !disk_full) verdict_.fail("node does not start: " + s.error().to_string());
  if (!dying_) {
    dying_ = Death::kKill;
    back_after_ = kSecond;
  }
}

void SimNode::die(Death how, Nanos back_after) {
  if (!node_ || dying_) return;
  back_after_ = back_after;
  if (how == Death::kStop) {
    events_.add("n" + std::to_string(number_) + " is stopped");
    node_->stop([this] { stopped_ = true; });
    return;
  }
  dying_ = how;
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

void SimNode::settle() {
  if (node_ && !dying_ && fatal_) {
    if (!expect_errors && !disk_full) verdict_.fail("the node gave up its disk without a fault");
    dying_ = prng_.chance(1, 2) ? Death::kPower : Death::kKill;
    back_after_ = kSecond;
  }
  if (node_ && !dying_ && stopped_) {
    events_.add("n" + std::to_string(number_) + " has stopped");
    bury(prng_.chance(1, 2));
    return come_back(back_after_);
  }
  if (!dying_) return;
  bool power = *dying_ == Death::kPower || disk_.frozen();
  events_.add("n" + std::to_string(number_) + (power ? " loses power" : " is killed"));
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
  loop_.forget_all();
  disk_.clear_faults();
  ++deaths[power ? 0 : 1];
  dying_.reset();
  fatal_ = stopped_ = false;
}

void SimNode::come_back(Nanos after) {
  outside_.at(outside_.now() + after, [this] {
    expect_errors = false;
    loop_.post([this] { start(); });
  });
}

}  // namespace weir::sim
