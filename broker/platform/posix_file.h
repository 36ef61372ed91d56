// broker/platform/posix_file.h - one open file and its queue of work. Internal to platform/.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "broker/env/disk.h"
#include "broker/platform/asio_loop.h"
#include "broker/platform/disk_workers.h"

namespace weir::platform {

/// Owns a descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Fd& operator=(Fd&& o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd();
  int get() const { return fd_; }
  /// Gives the descriptor away.
  int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// Writes all of `slices` at `offset`. `name` is for the error's text.
Status write_all(int fd, std::uint64_t offset, const std::vector<Bytes>& slices, const std::string& name);

class PosixFile final : public env::File {
 public:
  PosixFile(AsioLoop& loop, DiskWorkers& workers, Fd fd, std::string name);
  /// Waits for work under way.
  ~PosixFile() override;

  void write(std::uint64_t offset, std::vector<Bytes> slices, env::Sync sync, env::DiskDone done) override;
  Result<std::size_t> read(std::uint64_t offset, std::span<std::uint8_t> out) override;
  void read_async(std::uint64_t offset, std::size_t size, env::DiskRead done) override;
  Result<std::uint64_t> size() override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace weir::platform
