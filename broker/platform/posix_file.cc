#include "broker/platform/posix_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "broker/platform/system.h"

namespace weir::platform {
namespace {

constexpr std::size_t kSlicesPerWrite = 512;  // below IOV_MAX
constexpr std::size_t kJobsPerBatch = 256;    // writes that may share one sync

struct Job {
  std::uint64_t offset = 0;
  std::vector<Bytes> slices;
  env::Sync sync = env::Sync::kNone;
  env::DiskDone done;
  Status result;
};

Result<std::size_t> read_at(int fd, std::uint64_t offset, std::span<std::uint8_t> out,
                            const std::string& name) {
  std::size_t got = 0;
  while (got < out.size()) {
    ssize_t n = ::pread(fd, out.data() + got, out.size() - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(errno, "read " + name);
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  return got;
}

}  // namespace

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

Status write_all(int fd, std::uint64_t offset, const std::vector<Bytes>& slices, const std::string& name) {
  std::size_t index = 0, skip = 0;
  while (index < slices.size()) {
    iovec parts[kSlicesPerWrite];
    std::size_t count = 0;
    for (std::size_t i = index; i < slices.size() && count < kSlicesPerWrite; ++i) {
      std::size_t cut = i == index ? skip : 0;
      parts[count].iov_base = const_cast<std::uint8_t*>(slices[i].data() + cut);
      parts[count++].iov_len = slices[i].size() - cut;
    }
    ssize_t n = ::pwritev(fd, parts, static_cast<int>(count), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(errno, "write " + name);
    offset += static_cast<std::uint64_t>(n);
    std::size_t left = static_cast<std::size_t>(n);
    while (index < slices.size() && left >= slices[index].size() - skip) {
      left -= slices[index].size() - skip;
      skip = 0;
      ++index;
    }
    skip += left;
    // A write of nothing without an error would turn this into an endless loop.
    if (n == 0 && index < slices.size()) return Error(Code::kIo, "write " + name + ": nothing written");
  }
  return ok();
}

struct PosixFile::State : std::enable_shared_from_this<PosixFile::State> {
  State(AsioLoop& l, DiskWorkers& w, Fd f, std::string n)
      : loop(l), workers(w), fd(std::move(f)), name(std::move(n)) {}

  void submit(Job job);
  void run_batch();
  void execute(std::vector<Job>& batch);
  void complete(std::vector<Job> batch);

  AsioLoop& loop;
  DiskWorkers& workers;
  Fd fd;
  std::string name;
  bool forgotten = false;  // loop thread: the owner closed, completions are dropped
  Status health;           // of the worker that runs this file's batch; an error is final

  std::mutex mutex;
  std::condition_variable idle;  // running turned false
  std::deque<Job> jobs;          // under mutex, as the next two
  bool running = false;          // a worker has or will get this file
  std::size_t reads = 0;         // cold reads under way
};

void PosixFile::State::submit(Job job) {
  bool start;
  {
    std::lock_guard lock(mutex);
    jobs.push_back(std::move(job));
    start = !std::exchange(running, true);
  }
  if (start) workers.submit(Lane::kPrompt, [self = shared_from_this()] { self->run_batch(); });
}

// On a worker; one batch of a file at a time, so jobs of a file stay in order.
void PosixFile::State::run_batch() {
  std::vector<Job> batch;
  {
    std::lock_guard lock(mutex);
    std::size_t n = std::min(jobs.size(), kJobsPerBatch);
    batch.reserve(n);
    for (; n > 0; --n) {
      batch.push_back(std::move(jobs.front()));
      jobs.pop_front();
    }
  }
  execute(batch);
  complete(std::move(batch));
  bool more;
  {
    std::lock_guard lock(mutex);
    more = !jobs.empty();
    running = more;
    if (!more) idle.notify_all();
  }
  if (more) workers.submit(Lane::kPrompt, [self = shared_from_this()] { self->run_batch(); });
}

void PosixFile::State::execute(std::vector<Job>& batch) {
  bool sync = false;
  for (Job& job : batch) {
    if (health) health = write_all(fd.get(), job.offset, job.slices, name);
    job.result = health;
    sync |= health && job.sync == env::Sync::kData;
  }
  if (!sync || !health) {
    // Writes that asked for a sync before the one that failed were not synced: they fail with it.
    for (Job& job : batch) {
      if (!health && job.sync == env::Sync::kData) job.result = health;
    }
    return;
  }
  if (::fdatasync(fd.get()) == 0) return;
  // Final: after a failed sync the kernel may have dropped the dirty pages, so that a second sync
  // would succeed and mean nothing.
  health = errno_error(errno, "sync " + name);
  for (Job& job : batch) {
    if (job.sync == env::Sync::kData) job.result = health;
  }
}

void PosixFile::State::complete(std::vector<Job> batch) {
  // Slices and callbacks belong to the loop's thread: they travel back and die there.
  loop.post_completion([self = shared_from_this(), batch = std::move(batch)]() mutable {
    for (Job& job : batch) {
      if (!self->forgotten && job.done) job.done(std::move(job.result));
    }
  });
}

PosixFile::PosixFile(AsioLoop& loop, DiskWorkers& workers, Fd fd, std::string name)
    : state_(std::make_shared<State>(loop, workers, std::move(fd), std::move(name))) {}

PosixFile::~PosixFile() {
  state_->forgotten = true;
  std::unique_lock lock(state_->mutex);
  state_->idle.wait(lock, [this] { return !state_->running && state_->reads == 0; });
}

void PosixFile::write(std::uint64_t offset, std::vector<Bytes> slices, env::Sync sync, env::DiskDone done) {
  state_->submit(Job{offset, std::move(slices), sync, std::move(done), {}});
}

Result<std::size_t> PosixFile::read(std::uint64_t offset, std::span<std::uint8_t> out) {
  return read_at(state_->fd.get(), offset, out, state_->name);
}

void PosixFile::read_async(std::uint64_t offset, std::size_t size, env::DiskRead done) {
  {
    std::lock_guard lock(state_->mutex);
    ++state_->reads;
  }
  state_->workers.submit(Lane::kBulk, [self = state_, offset, size, done = std::move(done)]() mutable {
    std::string out(size, '\0');
    auto got =
        read_at(self->fd.get(), offset, {reinterpret_cast<std::uint8_t*>(out.data()), size}, self->name);
    if (got) out.resize(*got);
    Result<std::string> result = got ? Result<std::string>(std::move(out)) : Result<std::string>(got.error());
    AsioLoop& loop = self->loop;
    loop.post_completion([self, result = std::move(result), done = std::move(done)]() mutable {
      if (!self->forgotten) done(std::move(result));
    });
    std::lock_guard lock(self->mutex);
    if (--self->reads == 0) self->idle.notify_all();
  });
}

Result<std::uint64_t> PosixFile::size() {
  struct stat st {};
  if (::fstat(state_->fd.get(), &st) != 0) return errno_error(errno, "stat " + state_->name);
  return static_cast<std::uint64_t>(st.st_size);
}

}  // namespace weir::platform
