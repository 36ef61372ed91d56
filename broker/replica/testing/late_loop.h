// broker/replica/testing/late_loop.h - a loop that can be held up, with a clock that runs fast or slow.
//
// Room:   test world. What becomes due while it is held up runs in order when it goes on, as in a process
//         that was stopped for a while: its clock went on, its timers and messages are late.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "broker/env/testing/sim_loop.h"

namespace weir::replica::testing {

class LateLoop final : public env::Loop, public env::Clock {
 public:
  explicit LateLoop(env::testing::SimTime& time) : inner_(time), start_(time.now()) {}

  void post(env::Task task) override { (void)at(now(), std::move(task)); }
  env::TimerId at(Mono when, env::Task task) override {
    auto id = std::make_shared<env::TimerId>(0);
    *id = inner_.at(outer(when), [this, id, task = std::move(task)]() mutable {
      if (paused_ || !late_.empty()) {
        late_.push_back({*id, std::move(task)});
      } else {
        task();
      }
    });
    return *id;
  }
  void cancel(env::TimerId id) override {
    inner_.cancel(id);
    for (Late& l : late_) {
      if (l.id == id) l.task = nullptr;
    }
  }
  void set_end_of_turn(env::Task task) override {
    inner_.set_end_of_turn([this, task = std::move(task)]() mutable {
      if (!paused_) task();
    });
  }
  Mono now() override { return start_ + (inner_.now() - start_) / 1000 * rate_; }
  Wall wall() override { return inner_.wall(); }

  /// Its clock runs at `per_mille` of the true speed. Before the first use.
  void set_rate(Nanos per_mille) { rate_ = per_mille; }
  void pause() { paused_ = true; }
  bool paused() const { return paused_; }
  void resume() {
    if (!std::exchange(paused_, false)) return;
    inner_.post([this] { catch_up(); });
  }
  void forget_all() {
    inner_.forget_all();
    auto dropped = std::exchange(late_, {});
    paused_ = false;
  }

 private:
  struct Late {
    env::TimerId id;
    env::Task task;
  };
  Mono outer(Mono when) const {
    Nanos d = when - start_;
    return start_ + (d / rate_ + 1) * 1000;
  }
  void catch_up() {
    while (!late_.empty() && !paused_) {
      env::Task task = std::move(late_.front().task);
      if (task) task();
      if (!late_.empty()) late_.pop_front();
    }
  }

  env::testing::SimLoop inner_;
  Mono start_;
  Nanos rate_ = 1000;
  bool paused_ = false;
  std::deque<Late> late_;
};

}  // namespace weir::replica::testing
