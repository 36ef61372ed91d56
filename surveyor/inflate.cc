#include "surveyor/inflate.h"

#include <zlib.h>

#include <algorithm>

#include "broker/base/check.h"

namespace weir::surveyor {

namespace {
constexpr int kGzipWindow = 15 + 16;  // zlib: window bits, + 16 = gzip wrapping
constexpr std::size_t kChunk = 1u << 20;

Bytef* in_bytes(std::string_view s) {
  // zlib does not write through next_in; its type merely predates const.
  return reinterpret_cast<Bytef*>(const_cast<char*>(s.data()));
}
}  // namespace

Result<std::string> gunzip(std::string_view packed, std::size_t bytes_max) {
  z_stream z{};
  CHECK(inflateInit2(&z, kGzipWindow) == Z_OK, "zlib out of memory");
  std::string out;
  int rc = Z_OK;
  z.next_in = in_bytes(packed);
  z.avail_in = static_cast<uInt>(packed.size());
  while (rc == Z_OK && out.size() <= bytes_max) {
    std::size_t before = out.size();
    out.resize(before + std::clamp<std::size_t>(packed.size() * 4, 4096, kChunk));
    z.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    z.avail_out = static_cast<uInt>(out.size() - before);
    rc = inflate(&z, Z_NO_FLUSH);
    out.resize(out.size() - z.avail_out);
  }
  inflateEnd(&z);
  if (out.size() > bytes_max) return Error(Code::kLimit, "compressed reply is too long");
  if (rc != Z_STREAM_END) return Error(Code::kInvalid, "reply is no complete gzip stream");
  return out;
}

std::string gzip(std::string_view text) {
  z_stream z{};
  CHECK(deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) == Z_OK,
        "zlib out of memory");
  std::string out;
  z.next_in = in_bytes(text);
  std::size_t left = text.size();
  int rc = Z_OK;
  while (rc != Z_STREAM_END) {
    if (z.avail_in == 0 && left > 0) {
      z.avail_in = static_cast<uInt>(std::min<std::size_t>(left, 1u << 30));
      left -= z.avail_in;
    }
    std::size_t before = out.size();
    out.resize(before + kChunk);
    z.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    z.avail_out = static_cast<uInt>(kChunk);
    rc = deflate(&z, left == 0 ? Z_FINISH : Z_NO_FLUSH);
    CHECK(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR, "deflate");
    out.resize(out.size() - z.avail_out);
  }
  deflateEnd(&z);
  return out;
}

}  // namespace weir::surveyor
