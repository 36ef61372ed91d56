#include "broker/store/catalog_reader.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <optional>

#include "broker/store/catalog_format.h"

namespace weir::store {
namespace {

constexpr char kSuffix[] = ".cat";

std::optional<std::uint64_t> number_of(const std::string& name) {
  std::uint64_t n = 0;
  if (name.size() < 12) return std::nullopt;
  (void)std::from_chars(name.data(), name.data() + name.size() - 4, n, 16);
  return n != 0 && name == catalog_file_name(n) ? std::optional(n) : std::nullopt;
}

Result<std::string> read_whole(env::Disk& disk, const std::string& path) {
  ASSIGN_OR_RETURN(auto file, disk.open(path, env::Open::kRead));
  ASSIGN_OR_RETURN(std::uint64_t size, file->size());
  std::string bytes(size, '\0');
  for (std::size_t done = 0; done < bytes.size();) {
    ASSIGN_OR_RETURN(std::size_t n, file->read(done, {reinterpret_cast<std::uint8_t*>(bytes.data()) + done,
                                                      bytes.size() - done}));
    if (n == 0) return Error(Code::kIo, path + ": shorter than its size");
    done += n;
  }
  return bytes;
}

struct Listed {
  std::string name;
  std::uint64_t number;
};

/// Newest first. Anything else in the folder is left alone.
Result<std::vector<Listed>> list_files(env::Disk& disk, Log& log, const std::string& dir) {
  auto entries = disk.list(dir);
  if (!entries && entries.error().code == Code::kNotFound) {
    RETURN_IF_ERROR(disk.mkdirs(dir));
    return std::vector<Listed>();
  }
  if (!entries) return entries.error();
  std::vector<Listed> out;
  for (const auto& e : *entries) {
    auto n = e.is_dir ? std::nullopt : number_of(e.name);
    if (n) {
      out.push_back({e.name, *n});
    } else {
      log.warn("catalog: " + dir + "/" + e.name + ": not a catalog file, left alone");
    }
  }
  std::sort(out.begin(), out.end(), [](const Listed& a, const Listed& b) { return a.number > b.number; });
  return out;
}

void replay(const CatalogScan& scan, CatalogContent& content) {
  for (const auto& b : scan.batches) {
    (void)decode_edits(b.body, b.count, [&](std::string_view key, std::optional<std::string_view> value) {
      if (value) {
        content.insert_or_assign(std::string(key), std::string(*value));
      } else {
        content.erase(std::string(key));
      }
    });
  }
}

}  // namespace

std::string catalog_file_name(std::uint64_t number) {
  char name[32];
  std::snprintf(name, sizeof name, "%08llx%s", static_cast<unsigned long long>(number), kSuffix);
  return name;
}

Result<CatalogFound> read_catalog(env::Disk& disk, Log& log, const std::string& dir) {
  ASSIGN_OR_RETURN(auto files, list_files(disk, log, dir));
  CatalogFound found;
  bool had_content = false;
  for (const auto& f : files) {
    found.next = std::max(found.next, f.number + 1);
    found.others.push_back(f.name);
    if (found.newest != 0) continue;  // an older file that was about to be removed
    ASSIGN_OR_RETURN(std::string bytes, read_whole(disk, dir + "/" + f.name));
    CatalogScan scan = scan_catalog(bytes, f.number);
    if (scan.has_header && scan.version != kCatalogVersion) {
      return Error(Code::kUnsupported, f.name + ": catalog format version " + std::to_string(scan.version));
    }
    if (scan.damaged) {
      return Error(Code::kCorrupt, dir + "/" + f.name + ": damaged at offset " +
                                       std::to_string(scan.bad_offset) + ", bytes that had been synced");
    }
    had_content = had_content || (scan.has_header ? scan.before != 0 : f.number != 1);
    if (!scan.complete) continue;  // a copy that did not get to its end
    found.newest = f.number;
    replay(scan, found.content);
  }
  if (found.newest == 0 && had_content) {
    return Error(Code::kCorrupt, dir + ": no complete catalog file, but there was one");
  }
  return found;
}

}  // namespace weir::store
