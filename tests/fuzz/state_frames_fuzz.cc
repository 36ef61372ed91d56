// tests/fuzz/state_frames_fuzz.cc - what peers say of the hashes of their states.
//
// What decodes is within its limits, names groups and entries that can be, and survives encoding.
#include "broker/server/state_frames.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace weir;          // NOLINT: a program of one file
using namespace weir::server;  // NOLINT
using fuzz::require;

StateFrame sample(StateSaid said) {
  StateFrame f;
  f.said = said;
  f.scheme = 1;
  for (std::uint32_t n = 1; n <= 3; ++n) {
    StateItem item;
    item.group = GroupId(n * 100);
    item.index = RaftIndex(n * 100'000);
    if (said != StateSaid::kAsk) item.replica = NodeId(n << 8), item.hash = n * 0x9e3779b97f4a7c15u;
    f.items.push_back(item);
  }
  return f;
}

}  // namespace

std::vector<std::string> fuzz::fuzz_seeds() {
  std::vector<std::string> out;
  for (StateSaid said : {StateSaid::kAsk, StateSaid::kTold, StateSaid::kOdd})
    out.emplace_back(encode_state_frame(sample(said)).text());
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto f = decode_state_frame({data, size});
  if (!f) {
    require(!f.error().detail.empty(), "an error says what is wrong");
    return 0;
  }
  require(f->said >= StateSaid::kAsk && f->said <= StateSaid::kOdd, "kind");
  require(f->items.size() <= kStateItemsMax, "no more items than a frame may have");
  for (const StateItem& item : f->items) {
    require(item.group.v != 0 && item.index.v != 0, "a group and an entry that can be");
    require(f->said != StateSaid::kAsk || (item.replica.v == 0 && item.hash == 0), "a question has no hash");
  }
  auto again = decode_state_frame(encode_state_frame(*f).span());
  require(again && again->said == f->said && again->scheme == f->scheme && again->items == f->items,
          "a frame survives encoding");
  return 0;
}
