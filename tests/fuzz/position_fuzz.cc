// tests/fuzz/position_fuzz.cc - a replica's position (disk and peers), a configuration, a registration.
//
// The first byte picks the decoder. What decodes keeps its rules, and there is one coding of it.
#include "broker/raft/confchange.h"
#include "broker/replica/position.h"
#include "broker/server/registration.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace weir;  // NOLINT: a program of one file
using fuzz::require;

void position(ByteSpan bytes) {
  auto p = replica::decode_position(as_text(bytes));
  if (!p) return;
  require(p->self.v != 0 && raft::check_conf(p->conf).has_value() && raft::can_be(p->at), "position");
  auto again = replica::decode_position(replica::encode_position(*p));
  require(again && *again == *p, "a position survives encoding");
}

void conf(ByteSpan bytes) {
  auto c = raft::decode_conf(bytes);
  if (!c) return;
  require(raft::check_conf(*c).has_value(), "what decodes is well-formed");
  auto again = raft::decode_conf(raft::encode_conf(*c).span());
  require(again && *again == *c, "a configuration survives encoding");
  // The next one, if it is allowed, is well-formed too.
  raft::ConfChange change;
  if (!is_joint(*c)) {
    auto op = static_cast<raft::ConfOp>(bytes.back() % 3);
    change.steps = {{op, members_of(*c).back()}, {raft::ConfOp::kAddVoter, NodeId(bytes.size())}};
  }
  auto next = raft::change_conf(*c, change);
  if (next) require(raft::check_conf(*next).has_value(), "a change keeps it well-formed");
}

void registration(ByteSpan bytes) {
  auto r = server::decode_registration(bytes);
  if (!r) return;
  require(r->id.v != 0 && !r->name.empty() && r->tags.size() <= 256, "registration");
  auto again = server::decode_registration(server::encode_registration(*r).span());
  require(again && again->id == r->id && again->name == r->name && again->cluster == r->cluster &&
              again->domain == r->domain && again->tags == r->tags && again->boot == r->boot,
          "a registration survives encoding");
}

}  // namespace

std::vector<std::string> weir::fuzz::fuzz_seeds() {
  raft::ConfState conf{{NodeId(1), NodeId(2)}, {NodeId(2), NodeId(3)}, {NodeId(4)}, {NodeId(3)}, true};
  replica::Position p{NodeId(77), 3, {RaftIndex(500), Term(7)}, conf, true};
  server::Registration r{NodeId(5u << 24), "n1", "C", "hub", {"az:1", "ssd"}, 9};
  return {std::string(1, '\0') + replica::encode_position(p),
          "\x01" + std::string(raft::encode_conf(conf).text()),
          "\x01" + std::string(raft::encode_conf({{NodeId(1)}, {}, {}, {}, false}).text()),
          "\x02" + std::string(server::encode_registration(r).text())};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  Bytes copy = fuzz::own(ByteSpan(data + 1, size - 1));
  switch (data[0] % 3) {
    case 0: position(copy.span()); break;
    case 1: conf(copy.span()); break;
    default: registration(copy.span());
  }
  return 0;
}
