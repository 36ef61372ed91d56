#include "broker/platform/posix_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "broker/base/text.h"
#include "broker/platform/disk_workers.h"
#include "broker/platform/posix_file.h"
#include "broker/platform/system.h"

namespace weir::platform {
namespace {

constexpr std::size_t kZeroChunkBytes = 1u << 20;
constexpr char kLockName[] = ".lock";
constexpr mode_t kDirMode = 0750, kFileMode = 0640;  // as nats-server makes them

struct Place {
  Fd dir;            // the folder that holds it
  std::string leaf;  // "." for the root itself
};

Result<std::vector<std::string>> split_path(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < path.size();) {
    std::size_t end = std::min(path.find('/', at), path.size());
    std::string part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == ".." || part.find('\0') != std::string::npos) {
      return Error(Code::kInvalid, "path \"" + path + "\" is not inside the store folder");
    }
    parts.push_back(std::move(part));
    at = end + 1;
  }
  return parts;
}

Result<Fd> open_dir_at(int parent, const std::string& name, const std::string& path) {
  Fd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd) return fd;
  if (errno == ENOTDIR) return Error(Code::kNotFound, "open " + path + ": not a directory");
  return errno_error(errno, "open " + path);
}

Status sync_fd(int fd, const std::string& path) {
  if (::fsync(fd) != 0) return errno_error(errno, "sync " + path);
  return ok();
}

Status write_zeros(int fd, std::uint64_t size, const std::string& path) {
  std::vector<Bytes> chunk;
  {
    BytesBuilder zeros(kZeroChunkBytes);
    std::memset(zeros.grow(kZeroChunkBytes), 0, kZeroChunkBytes);
    chunk.push_back(zeros.freeze());
  }
  for (std::uint64_t at = 0; at < size; at += kZeroChunkBytes) {
    if (size - at < kZeroChunkBytes) chunk[0] = chunk[0].sub(0, static_cast<std::size_t>(size - at));
    RETURN_IF_ERROR(write_all(fd, at, chunk, path));
  }
  return sync_fd(fd, path);
}

class PosixDisk final : public env::Disk {
 public:
  PosixDisk(AsioLoop& loop, std::string root, Fd root_fd, Fd lock, unsigned threads)
      : loop_(loop),
        root_(std::move(root)),
        root_fd_(std::move(root_fd)),
        lock_(std::move(lock)),
        workers_(threads) {}

  Result<std::unique_ptr<env::File>> open(const std::string& path, env::Open mode) override {
    ASSIGN_OR_RETURN(Place place, find(path));
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;  // a fifo must not block
    switch (mode) {
      case env::Open::kRead: flags |= O_RDONLY; break;
      case env::Open::kWrite: flags |= O_RDWR; break;
      case env::Open::kCreate: flags |= O_RDWR | O_CREAT | O_EXCL; break;
    }
    Fd fd(::openat(place.dir.get(), place.leaf.c_str(), flags, kFileMode));
    if (!fd) return errno_error(errno, "open " + full(path));
    struct stat st {};
    if (::fstat(fd.get(), &st) != 0) return errno_error(errno, "stat " + full(path));
    if (!S_ISREG(st.st_mode)) return Error(Code::kIo, "open " + full(path) + ": not a regular file");
    return std::unique_ptr<env::File>(
        std::make_unique<PosixFile>(loop_, workers_, std::move(fd), full(path)));
  }

  void create_zeroed(const std::string& path, std::uint64_t size, env::DiskDone done) override {
    auto place = find(path);
    if (!place) {
      loop_.post([done = std::move(done), error = place.error()]() mutable { done(error); });
      return;
    }
    auto held = std::make_unique<Place>(std::move(*place));
    workers_.submit(Lane::kBulk, [this, place = std::move(held), name = full(path), size,
                                  done = std::move(done)]() mutable {
      Status result = make_zeroed(*place, name, size);
      loop_.post_completion(
          [result = std::move(result), done = std::move(done)]() mutable { done(std::move(result)); });
    });
  }

  Status mkdirs(const std::string& path) override {
    ASSIGN_OR_RETURN(auto parts, split_path(path));
    ASSIGN_OR_RETURN(Fd at, open_dir_at(root_fd_.get(), ".", root_));
    for (const auto& part : parts) {
      if (::mkdirat(at.get(), part.c_str(), kDirMode) == 0) {
        RETURN_IF_ERROR(sync_fd(at.get(), full(path)));
      } else if (errno != EEXIST) {
        return errno_error(errno, "mkdir " + full(path));
      }
      ASSIGN_OR_RETURN(Fd next, open_dir_at(at.get(), part, full(path)));
      at = std::move(next);
    }
    return ok();
  }

  Result<std::vector<env::DirEntry>> list(const std::string& path) override {
    ASSIGN_OR_RETURN(Fd dir, open_folder(path));
    DIR* stream = ::fdopendir(dir.get());
    if (!stream) return errno_error(errno, "list " + full(path));
    (void)dir.release();  // the stream owns it now
    std::vector<env::DirEntry> out;
    Status status;
    for (;;) {
      errno = 0;
      dirent* e = ::readdir(stream);
      if (!e) {
        if (errno != 0) status = errno_error(errno, "list " + full(path));
        break;
      }
      std::string name = e->d_name;
      if (name == "." || name == ".." || (path.empty() && name == kLockName)) continue;
      struct stat st {};
      if (::fstatat(::dirfd(stream), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;  // just removed
      bool is_dir = S_ISDIR(st.st_mode);
      out.push_back({std::move(name), is_dir, is_dir ? 0 : static_cast<std::uint64_t>(st.st_size)});
    }
    ::closedir(stream);
    if (!status) return status.error();
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return out;
  }

  Status rename(const std::string& from, const std::string& to) override {
    ASSIGN_OR_RETURN(Place source, find(from));
    ASSIGN_OR_RETURN(Place target, find(to));
    if (::renameat(source.dir.get(), source.leaf.c_str(), target.dir.get(), target.leaf.c_str()) != 0) {
      return errno_error(errno, "rename " + full(from) + " to " + full(to));
    }
    return ok();
  }

  Status link(const std::string& from, const std::string& to) override {
    ASSIGN_OR_RETURN(Place source, find(from));
    ASSIGN_OR_RETURN(Place target, find(to));
    if (::linkat(source.dir.get(), source.leaf.c_str(), target.dir.get(), target.leaf.c_str(), 0) != 0) {
      return errno_error(errno, "link " + full(from) + " to " + full(to));
    }
    return ok();
  }

  Status remove(const std::string& path) override {
    ASSIGN_OR_RETURN(Place place, find(path));
    int rc = ::unlinkat(place.dir.get(), place.leaf.c_str(), 0);
    if (rc != 0 && errno == EISDIR) rc = ::unlinkat(place.dir.get(), place.leaf.c_str(), AT_REMOVEDIR);
    if (rc != 0) return errno_error(errno, "remove " + full(path));
    return ok();
  }

  Status sync_dir(const std::string& path) override {
    ASSIGN_OR_RETURN(Fd dir, open_folder(path));
    return sync_fd(dir.get(), full(path));
  }

  Result<env::DiskSpace> space() override {
    struct statvfs st {};
    if (::fstatvfs(root_fd_.get(), &st) != 0) return errno_error(errno, "statfs " + root_);
    return env::DiskSpace{std::uint64_t{st.f_blocks} * st.f_frsize, std::uint64_t{st.f_bavail} * st.f_frsize};
  }

 private:
  std::string full(const std::string& path) const { return path.empty() ? root_ : root_ + "/" + path; }

  Result<Fd> open_folder(const std::string& path) {
    ASSIGN_OR_RETURN(auto parts, split_path(path));
    ASSIGN_OR_RETURN(Fd at, open_dir_at(root_fd_.get(), ".", root_));
    for (const auto& part : parts) {
      ASSIGN_OR_RETURN(Fd next, open_dir_at(at.get(), part, full(path)));
      at = std::move(next);
    }
    return at;
  }

  Result<Place> find(const std::string& path) {
    std::size_t slash = path.rfind('/');
    std::string leaf = slash == std::string::npos ? path : path.substr(slash + 1);
    if (leaf.empty() || leaf == "." || leaf == "..") {
      return Error(Code::kInvalid, "path \"" + path + "\" does not name a file of the store folder");
    }
    ASSIGN_OR_RETURN(auto checked, split_path(path));
    (void)checked;
    ASSIGN_OR_RETURN(Fd dir, open_folder(slash == std::string::npos ? "" : path.substr(0, slash)));
    return Place{std::move(dir), std::move(leaf)};
  }

  static Status make_zeroed(const Place& place, const std::string& name, std::uint64_t size) {
    Fd fd(::openat(place.dir.get(), place.leaf.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                   kFileMode));
    if (!fd) return errno_error(errno, "create " + name);
    Status status = write_zeros(fd.get(), size, name);
    if (status) status = sync_fd(place.dir.get(), name);
    // A half-made file would be taken for a whole one.
    if (!status) (void)::unlinkat(place.dir.get(), place.leaf.c_str(), 0);
    return status;
  }

  AsioLoop& loop_;
  const std::string root_;
  Fd root_fd_;
  Fd lock_;
  DiskWorkers workers_;  // last: its destructor waits for jobs that use the rest
};

// Says who holds the lock, as far as the file tells.
std::string lock_holder(int fd) {
  char text[32] = {};
  ssize_t n = ::pread(fd, text, sizeof text - 1, 0);
  if (n <= 0 || !parse_u64({text, static_cast<std::size_t>(n)})) return "another process";
  return "process " + std::string(text, static_cast<std::size_t>(n));
}

Result<Fd> lock_root(int root_fd, const std::string& root) {
  Fd fd(::openat(root_fd, kLockName, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kFileMode));
  if (!fd) return errno_error(errno, "open " + root + "/" + kLockName);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errno_error(errno, "lock " + root);
    return Error(Code::kUnavailable, "store folder " + root + " is in use by " + lock_holder(fd.get()) +
                                         "; give each broker its own");
  }
  // Only a hint for people; the lock itself is the kernel's.
  std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd.get(), 0) == 0) (void)!::pwrite(fd.get(), pid.data(), pid.size(), 0);
  return fd;
}

class NoDisk final : public env::Disk {
 public:
  explicit NoDisk(AsioLoop& loop) : loop_(loop) {}
  Result<std::unique_ptr<env::File>> open(const std::string&, env::Open) override { return none(); }
  void create_zeroed(const std::string&, std::uint64_t, env::DiskDone done) override {
    loop_.post([done = std::move(done)]() mutable { done(none()); });
  }
  Status mkdirs(const std::string&) override { return none(); }
  Result<std::vector<env::DirEntry>> list(const std::string&) override { return none(); }
  Status rename(const std::string&, const std::string&) override { return none(); }
  Status link(const std::string&, const std::string&) override { return none(); }
  Status remove(const std::string&) override { return none(); }
  Status sync_dir(const std::string&) override { return none(); }
  Result<env::DiskSpace> space() override { return none(); }

 private:
  static Error none() { return {Code::kUnavailable, "this node has no store folder"}; }
  AsioLoop& loop_;
};

}  // namespace

Result<std::unique_ptr<env::Disk>> open_posix_disk(AsioLoop& loop, const std::string& root,
                                                   unsigned threads) {
  struct stat st {};
  if (::stat(root.c_str(), &st) == 0 && !S_ISDIR(st.st_mode)) {
    return Error(Code::kInvalid, "storage directory is not a directory");
  }
  // create_directories throws nothing in this form; the root may be a symbolic link of the operator's.
  std::error_code ec;
  std::filesystem::create_directories(root, ec);
  if (ec == std::errc::not_a_directory) return Error(Code::kInvalid, "storage directory is not a directory");
  if (ec) return errno_error(ec.value(), "could not create storage directory " + root);
  Fd root_fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root_fd) return errno_error(errno, "open " + root);
  ASSIGN_OR_RETURN(Fd lock, lock_root(root_fd.get(), root));
  return std::unique_ptr<env::Disk>(
      std::make_unique<PosixDisk>(loop, root, std::move(root_fd), std::move(lock), threads));
}

std::unique_ptr<env::Disk> make_no_disk(AsioLoop& loop) {
  return std::make_unique<NoDisk>(loop);
}

}  // namespace weir::platform
