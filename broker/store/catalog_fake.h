// broker/store/catalog_fake.h - the least Catalog that is durable on a simulated disk; for tests only.
//
// One append-only file of checksummed batches; never rolled.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/crc32c.h"
#include "broker/base/varint.h"
#include "broker/store/catalog.h"

namespace weir::store {

class CatalogFake final : public Catalog {
 public:
  static Result<std::unique_ptr<Catalog>> open(env::Disk& disk, const std::string& dir) {
    auto c = std::make_unique<CatalogFake>();
    RETURN_IF_ERROR(disk.mkdirs(dir));
    auto file = disk.open(dir + "/log", env::Open::kWrite);
    if (!file) {
      file = disk.open(dir + "/log", env::Open::kCreate);
      if (!file) return file.error();
      RETURN_IF_ERROR(disk.sync_dir(dir));
    }
    c->file_ = std::move(*file);
    ASSIGN_OR_RETURN(std::uint64_t size, c->file_->size());
    std::string bytes(size, '\0');
    RETURN_IF_ERROR(c->file_->read(0, {reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()}));
    c->replay(bytes);
    return std::unique_ptr<Catalog>(std::move(c));
  }

  void commit(std::vector<CatalogEdit> edits, env::DiskDone done) override {
    BytesBuilder b;
    b.append_varint(edits.size());
    for (const auto& e : edits) {
      apply(e);
      b.append_string(e.key);
      b.append_u8(e.value ? 1 : 0);
      if (e.value) b.append_string(*e.value);
    }
    BytesBuilder out;
    out.append_u32(static_cast<std::uint32_t>(b.size()));
    out.append_u32(crc32c(as_span(b.text())));
    out.append(b.text());
    std::uint64_t at = end_;
    end_ += out.size();
    ++under_way_;
    std::vector<Bytes> slices;
    slices.push_back(out.freeze());
    file_->write(at, std::move(slices), env::Sync::kData, [this, done = std::move(done)](Status s) mutable {
      --under_way_;
      done(std::move(s));
    });
  }
  std::optional<std::string> get(const std::string& key) const override {
    auto it = map_.find(key);
    return it == map_.end() ? std::nullopt : std::optional(it->second);
  }
  void scan(const std::string& prefix,
            const std::function<bool(const std::string&, const std::string&)>& visit) const override {
    for (auto it = map_.lower_bound(prefix); it != map_.end() && it->first.starts_with(prefix); ++it) {
      if (!visit(it->first, it->second)) return;
    }
  }
  bool busy() const override { return under_way_ != 0; }

 private:
  void apply(const CatalogEdit& e) {
    if (e.value) {
      map_[e.key] = *e.value;
    } else {
      map_.erase(e.key);
    }
  }
  void replay(const std::string& bytes) {
    while (bytes.size() - end_ >= 8) {
      const auto* p = reinterpret_cast<const std::uint8_t*>(bytes.data()) + end_;
      std::uint32_t size = get_u32(p);
      if (size == 0 || size > bytes.size() - end_ - 8) return;
      ByteSpan body{p + 8, size};
      if (crc32c(body) != get_u32(p + 4)) return;
      Reader r(body);
      for (std::uint64_t n = r.varint(); n != 0; --n) {
        CatalogEdit e{std::string(r.string()), std::nullopt};
        if (r.u8() != 0) e.value = std::string(r.string());
        apply(e);
      }
      end_ += 8 + size;
    }
  }

  std::map<std::string, std::string> map_;
  std::unique_ptr<env::File> file_;
  std::uint64_t end_ = 0;
  int under_way_ = 0;
};

}  // namespace weir::store
