#include "broker/jetstream/progress.h"

#include <limits>

#include "broker/base/varint.h"
#include "broker/jetstream/coding.h"

namespace weir::jetstream {

namespace {

enum Section : std::uint8_t {
  kDelivered = 1,
  kRedelivered = 2,
  kTouched = 4,
  kExceeded = 8,
  kAcked = 16,
  kTermed = 32,
  kNaks = 64,
};
constexpr std::uint8_t kAllSections = 127;

/// Numbers add up below this, so that a sum of two cannot wrap.
constexpr std::uint64_t kSeqMax = std::numeric_limits<std::uint64_t>::max() / 4;

void put_ranges(std::string& out, const std::vector<SeqRange>& ranges) {
  put_varint(out, ranges.size());
  std::uint64_t at = 0;  // first sequence that the next range may have
  for (const SeqRange& r : ranges) {
    put_varint(out, r.first.v - at);
    put_varint(out, r.last - r.first);
    at = r.last.v + 1;
  }
}

/// A count of things that take `least` bytes each.
std::size_t read_count(Reader& in, std::size_t least) {
  std::uint64_t n = in.varint();
  if (n > in.left() / least) {
    in.fail();
    return 0;
  }
  return static_cast<std::size_t>(n);
}

/// A number that moves `at` forward; fails rather than wrap.
std::uint64_t read_step(Reader& in, std::uint64_t at) {
  std::uint64_t step = in.varint();
  if (step > kSeqMax || at + step > kSeqMax) {
    in.fail();
    return at;
  }
  return at + step;
}

void read_ranges(Reader& in, std::vector<SeqRange>& ranges) {
  std::size_t n = read_count(in, 2);
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < n && in.ok(); ++i) {
    std::uint64_t first = read_step(in, at);
    std::uint64_t last = read_step(in, first);
    ranges.push_back({StreamSeq(first), StreamSeq(last)});
    at = last + 1;
  }
}

void put_deliveries(std::string& out, const std::vector<DeliveryRun>& runs) {
  put_varint(out, runs.size());
  std::uint64_t cseq = 0, sseq = 0;
  for (const DeliveryRun& r : runs) {
    put_varint(out, r.cseq.v - cseq);
    put_varint(out, r.sseq.v - sseq);
    put_varint(out, r.count - 1);
    cseq = r.cseq.v + r.count;
    sseq = r.sseq.v + r.count;
  }
}

void read_deliveries(Reader& in, std::vector<DeliveryRun>& runs) {
  std::size_t n = read_count(in, 3);
  std::uint64_t cseq = 0, sseq = 0;
  for (std::size_t i = 0; i < n && in.ok(); ++i) {
    cseq = read_step(in, cseq);
    sseq = read_step(in, sseq);
    std::uint64_t count = in.varint();
    if (count >= kSeqMax || cseq + count >= kSeqMax || sseq + count >= kSeqMax) return in.fail();
    runs.push_back({ConsumerSeq(cseq), StreamSeq(sseq), count + 1});
    cseq += count + 1;
    sseq += count + 1;
  }
}

void put_redeliveries(std::string& out, const std::vector<Progress::Redelivery>& list) {
  put_varint(out, list.size());
  std::uint64_t at = 0;
  for (const auto& r : list) {
    put_varint(out, r.sseq.v - at);
    put_varint(out, r.times);
    at = r.sseq.v + 1;
  }
}

void read_redeliveries(Reader& in, std::vector<Progress::Redelivery>& list) {
  std::size_t n = read_count(in, 2);
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < n && in.ok(); ++i) {
    std::uint64_t seq = read_step(in, at);
    std::uint64_t times = in.varint();
    if (times == 0 || times > kSeqMax) return in.fail();
    list.push_back({StreamSeq(seq), times});
    at = seq + 1;
  }
}

}  // namespace

void append_seq(std::vector<SeqRange>& ranges, StreamSeq seq) {
  if (!ranges.empty() && ranges.back().last + 1 == seq) {
    ranges.back().last = seq;
  } else {
    ranges.push_back({seq, seq});
  }
}

bool Progress::idle() const {
  return delivered.empty() && redelivered.empty() && touched.empty() && exceeded.empty() && acked.empty() &&
         termed.empty() && naks == 0;
}

void Progress::clear() {
  delivered.clear();
  redelivered.clear();
  touched.clear();
  exceeded.clear();
  acked.clear();
  termed.clear();
  naks = 0;
}

void encode_progress(const Progress& p, std::string& out) {
  auto sections = static_cast<std::uint8_t>(
      (p.delivered.empty() ? 0 : kDelivered) | (p.redelivered.empty() ? 0 : kRedelivered) |
      (p.touched.empty() ? 0 : kTouched) | (p.exceeded.empty() ? 0 : kExceeded) |
      (p.acked.empty() ? 0 : kAcked) | (p.termed.empty() ? 0 : kTermed) | (p.naks == 0 ? 0 : kNaks));
  out.push_back(static_cast<char>(kProgressVersion));
  out.push_back(static_cast<char>(sections));
  put_varint(out, p.epoch);
  put_varint(out, p.delivered_cseq.v);
  put_varint(out, p.delivered_sseq.v);
  put_varint(out, p.scanned - p.delivered_sseq);
  if (sections & kDelivered) put_deliveries(out, p.delivered);
  if (sections & kRedelivered) put_redeliveries(out, p.redelivered);
  if (sections & kTouched) put_ranges(out, p.touched);
  if (sections & kExceeded) put_ranges(out, p.exceeded);
  if (sections & kAcked) put_ranges(out, p.acked);
  if (sections & kTermed) put_ranges(out, p.termed);
  if (sections & kNaks) put_varint(out, p.naks);
}

Status decode_progress(std::string_view body, Progress& out) {
  out.clear();
  Reader in(body);
  if (in.u8() != kProgressVersion) return Error(Code::kInvalid, "consumer progress: unknown version");
  std::uint8_t sections = in.u8();
  if (sections & ~kAllSections) return Error(Code::kInvalid, "consumer progress: unknown section");
  std::uint64_t epoch = in.varint();
  if (epoch > std::numeric_limits<std::uint32_t>::max()) in.fail();
  out.epoch = static_cast<std::uint32_t>(epoch);
  out.delivered_cseq = ConsumerSeq(read_step(in, 0));
  out.delivered_sseq = StreamSeq(read_step(in, 0));
  out.scanned = StreamSeq(read_step(in, out.delivered_sseq.v));
  if (sections & kDelivered) read_deliveries(in, out.delivered);
  if (sections & kRedelivered) read_redeliveries(in, out.redelivered);
  if (sections & kTouched) read_ranges(in, out.touched);
  if (sections & kExceeded) read_ranges(in, out.exceeded);
  if (sections & kAcked) read_ranges(in, out.acked);
  if (sections & kTermed) read_ranges(in, out.termed);
  if (sections & kNaks) out.naks = in.varint();
  if (!in.done()) return Error(Code::kInvalid, "consumer progress: short, long or out of bounds");
  return ok();
}

}  // namespace weir::jetstream
