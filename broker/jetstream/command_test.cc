#include "broker/jetstream/command.h"

#include <cstdio>
#include <string>

#include <gtest/gtest.h>

#include "broker/base/varint.h"

namespace weir::jetstream {
namespace {

std::string hex(const Bytes& b) {
  std::string out;
  char two[3];
  for (std::uint8_t v : b.span()) {
    std::snprintf(two, sizeof two, "%02x", v);
    out += two;
  }
  return out;
}

Bytes every_command() {
  EntryBuilder b;
  PublishCommand p;
  p.subject = "a.b";
  p.headers = "NATS/1.0\r\n\r\n";
  p.payload = "hello";
  b.publish(p);
  b.delete_msg({StreamSeq(300), true});
  b.purge({StreamSeq(7), 0, "a.*"});
  b.update_stream({5, "{}"});
  b.create_consumer({ConsumerAction::kUpdate, Wall{-1}, "C", "{}"});
  b.delete_consumer("C");
  b.consumer_progress({9, "xyz"});
  b.tick();
  MetaStreamCommand m;
  m.account = "A";
  m.name = "S";
  m.created = Wall{2};
  m.max_streams = 4;
  m.nodes = {NodeId(1u << 24), NodeId(2u << 24)};
  m.preferred = NodeId(2u << 24);
  m.config_json = "{}";
  b.meta_create_stream(m);
  b.meta_update_stream(m);
  b.meta_delete_stream("A", "S");
  MetaNodeCommand n;
  n.id = NodeId(1u << 24);
  n.replaces = NodeId(3u << 24);
  n.name = "n1";
  n.cluster = "c";
  n.domain = "d";
  n.tags = {"az:1", "ssd"};
  n.rejoin = true;
  b.meta_register_node(n);
  b.meta_remove_node(NodeId(1u << 24));
  b.meta_set_peers({GroupId(300), 7, {NodeId(1u << 24)}, NodeId(0)});
  b.meta_renew_replicas({GroupId(0), NodeId(1u << 24), 9, 0});
  b.meta_reset_stream({GroupId(2), 8, {}, NodeId(0)});
  EXPECT_EQ(b.count(), 16u);
  return b.finish(Wall{0x0102030405060708});
}

/// Decodes the body of any command; false if it is malformed.
bool decodes(const Command& c) {
  switch (c.type) {
    case CommandType::kPublish: return decode_publish(c).has_value();
    case CommandType::kDeleteMsg: return decode_delete_msg(c).has_value();
    case CommandType::kPurge: return decode_purge(c).has_value();
    case CommandType::kUpdateStream: return decode_update_stream(c).has_value();
    case CommandType::kCreateConsumer: return decode_create_consumer(c).has_value();
    case CommandType::kDeleteConsumer: return decode_delete_consumer(c).has_value();
    case CommandType::kConsumerProgress: return decode_consumer_progress(c).has_value();
    case CommandType::kMetaCreateStream:
    case CommandType::kMetaUpdateStream:
    case CommandType::kMetaDeleteStream: return decode_meta_stream(c).has_value();
    case CommandType::kMetaRegisterNode: return decode_meta_register(c).has_value();
    case CommandType::kMetaRemoveNode: return decode_meta_remove_node(c).has_value();
    case CommandType::kMetaSetPeers:
    case CommandType::kMetaResetStream: return decode_meta_peers(c).has_value();
    case CommandType::kMetaRenewReplicas: return decode_meta_renew(c).has_value();
    default: return true;
  }
}

TEST(Command, Golden) {
  EXPECT_EQ(hex(every_command()),
            "01"
            "0807060504030201"
            "10000000"
            "0117"
            "00"
            "03"
            "0c"
            "612e62"
            "4e4154532f312e300d0a0d0a"
            "68656c6c6f"
            "0203"
            "ac02"
            "01"
            "0306"
            "07"
            "00"
            "03612e2a"
            "0404"
            "05"
            "027b7d"
            "0507"
            "02"
            "01"
            "0143"
            "027b7d"
            "0602"
            "0143"
            "0704"
            "09"
            "78797a"
            "0800"
            "4022"
            "0141"
            "0153"
            "04"
            "04"
            "02"
            "0000000100000000"
            "0000000200000000"
            "0000000200000000"
            "027b7d"
            "4120"
            "0141"
            "0153"
            "02"
            "0000000100000000"
            "0000000200000000"
            "0000000200000000"
            "027b7d"
            "4204"
            "0141"
            "0153"
            "4322"
            "0000000100000000"
            "0000000300000000"
            "03"
            "026e31"
            "0163"
            "0164"
            "02"
            "04617a3a31"
            "03737364"
            "4408"
            "0000000100000000"
            "4514"
            "ac02"
            "07"
            "01"
            "0000000100000000"
            "0000000000000000"
            "460b"
            "00"
            "0000000100000000"
            "09"
            "00"
            "4703"
            "02"
            "08"
            "00");
}

TEST(Command, ReadsBackWhatWasWritten) {
  auto reader = EntryReader::open(every_command());
  ASSERT_TRUE(reader.has_value());
  EXPECT_EQ(reader->log_time().ns, 0x0102030405060708);
  EXPECT_EQ(reader->count(), 16u);
  Command c;
  ASSERT_TRUE(reader->next(c));
  auto p = decode_publish(c);
  ASSERT_TRUE(p.has_value());
  EXPECT_EQ(p->subject, "a.b");
  EXPECT_EQ(p->headers, "NATS/1.0\r\n\r\n");
  EXPECT_EQ(p->payload, "hello");
  EXPECT_EQ(p->record.text(), "a.bNATS/1.0\r\n\r\nhello");
  EXPECT_EQ(p->record.data(), reinterpret_cast<const std::uint8_t*>(p->subject.data())) << "a copy was made";
  ASSERT_TRUE(reader->next(c));
  auto d = decode_delete_msg(c);
  EXPECT_EQ(d->seq, StreamSeq(300));
  EXPECT_TRUE(d->no_erase);
  ASSERT_TRUE(reader->next(c));
  auto u = decode_purge(c);
  EXPECT_EQ(u->seq, StreamSeq(7));
  EXPECT_EQ(u->filter, "a.*");
  ASSERT_TRUE(reader->next(c));
  EXPECT_EQ(decode_update_stream(c)->revision, 5u);
  ASSERT_TRUE(reader->next(c));
  auto k = decode_create_consumer(c);
  EXPECT_EQ(k->action, ConsumerAction::kUpdate);
  EXPECT_EQ(k->created.ns, -1);
  EXPECT_EQ(k->name, "C");
  ASSERT_TRUE(reader->next(c));
  EXPECT_EQ(*decode_delete_consumer(c), "C");
  ASSERT_TRUE(reader->next(c));
  EXPECT_EQ(decode_consumer_progress(c)->body, "xyz");
  ASSERT_TRUE(reader->next(c));
  EXPECT_EQ(c.type, CommandType::kTick);
  ASSERT_TRUE(reader->next(c));
  auto m = decode_meta_stream(c);
  EXPECT_EQ(m->nodes.size(), 2u);
  EXPECT_EQ(m->preferred, NodeId(2u << 24));
  EXPECT_EQ(m->max_streams, 4u);
  EXPECT_EQ(m->created.ns, 2);
  ASSERT_TRUE(reader->next(c));
  EXPECT_EQ(decode_meta_stream(c)->config_json, "{}");
  ASSERT_TRUE(reader->next(c));
  EXPECT_EQ(decode_meta_stream(c)->name, "S");
  ASSERT_TRUE(reader->next(c));
  auto n = decode_meta_register(c);
  EXPECT_EQ(n->replaces, NodeId(3u << 24));
  EXPECT_EQ(n->domain, "d");
  EXPECT_EQ(n->tags, (std::vector<std::string_view>{"az:1", "ssd"}));
  EXPECT_TRUE(n->rejoin && n->jetstream);
  ASSERT_TRUE(reader->next(c));
  EXPECT_EQ(*decode_meta_remove_node(c), NodeId(1u << 24));
  ASSERT_TRUE(reader->next(c));
  EXPECT_EQ(decode_meta_peers(c)->group, GroupId(300));
  EXPECT_EQ(decode_meta_peers(c)->nodes.size(), 1u);
  ASSERT_TRUE(reader->next(c));
  EXPECT_EQ(decode_meta_renew(c)->boot, 9u);
  ASSERT_TRUE(reader->next(c));
  EXPECT_EQ(decode_meta_peers(c)->expected, 8u);
  EXPECT_FALSE(reader->next(c));
}

TEST(Command, BuilderIsReusable) {
  EntryBuilder b;
  EXPECT_TRUE(b.empty());
  b.tick();
  Bytes one = b.finish(Wall{1});
  EXPECT_TRUE(b.empty());
  b.tick();
  EXPECT_EQ(one.size(), b.finish(Wall{1}).size());
}

TEST(Command, EveryCutIsRefused) {
  Bytes whole = every_command();
  for (std::size_t n = 0; n < whole.size(); ++n)
    EXPECT_FALSE(EntryReader::open(whole.sub(0, n)).has_value()) << n;
  std::string longer(whole.text());
  longer += '\0';
  EXPECT_FALSE(EntryReader::open(Bytes::copy_of(longer)).has_value());
}

TEST(Command, EveryFlippedByteIsHarmless) {
  std::string whole(every_command().text());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = whole;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      auto reader = EntryReader::open(Bytes::copy_of(bad));
      if (!reader) continue;
      Command c;
      while (reader->next(c)) (void)decodes(c);
    }
  }
}

TEST(Command, EveryCutBodyIsRefused) {
  auto reader = EntryReader::open(every_command());
  Command c;
  while (reader->next(c)) {
    Command cut = c;
    bool open_end = c.type == CommandType::kPublish || c.type == CommandType::kConsumerProgress;
    for (std::size_t n = 0; n < c.body.size(); ++n) {
      cut.body = c.body.substr(0, n);
      EXPECT_TRUE(!decodes(cut) || (open_end && n > 0)) << static_cast<int>(c.type) << " at " << n;
    }
  }
}

TEST(Command, BadValuesAreRefused) {
  auto body = [](CommandType type, std::string_view bytes) {
    static Bytes entry;
    entry = Bytes::copy_of(bytes);
    Command c;
    c.type = type;
    c.entry = &entry;
    c.body = entry.text();
    return decodes(c);
  };
  using namespace std::literals;
  EXPECT_FALSE(body(CommandType::kPublish,
                    "\x01\x01\x00"
                    "a"sv))
      << "unknown flag";
  EXPECT_FALSE(body(CommandType::kPublish,
                    "\x00\x00\x00"
                    "a"sv))
      << "no subject";
  EXPECT_FALSE(body(CommandType::kPublish,
                    "\x00\x02\x00"
                    "a"sv))
      << "subject longer than the body";
  EXPECT_FALSE(body(CommandType::kPublish,
                    "\x00\x01\x01"
                    "a"sv))
      << "headers longer than the body";
  EXPECT_TRUE(body(CommandType::kPublish,
                   "\x00\x01\x00"
                   "a"sv));
  EXPECT_FALSE(body(CommandType::kPublish,
                    "\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                    "a"sv));
  EXPECT_FALSE(body(CommandType::kDeleteMsg, "\x01\x02"sv)) << "no_erase is 0 or 1";
  EXPECT_FALSE(body(CommandType::kCreateConsumer,
                    "\x03\x00\x01"
                    "C\x00"sv))
      << "unknown action";
  EXPECT_FALSE(body(CommandType::kCreateConsumer, "\x00\x00\x00\x00"sv)) << "no name";
  EXPECT_FALSE(body(CommandType::kConsumerProgress, "\x00xyz"sv)) << "id 0";
  EXPECT_FALSE(body(CommandType::kMetaDeleteStream, "\x00\x01S"sv)) << "no account";
  EXPECT_FALSE(body(CommandType::kMetaUpdateStream,
                    "\x01"
                    "A\x01S\xff\xff\xff\xff\x0f"sv))
      << "too many peers";
  std::string node("\x00\x00\x00\x01\x00\x00\x00\x00"sv);
  std::string replica("\x01\x00\x00\x01\x00\x00\x00\x00"sv);
  EXPECT_TRUE(body(CommandType::kMetaRemoveNode, node));
  EXPECT_FALSE(body(CommandType::kMetaRemoveNode, replica)) << "not a node";
  EXPECT_FALSE(body(CommandType::kMetaRemoveNode, std::string(8, '\0')));
  EXPECT_TRUE(body(CommandType::kMetaRenewReplicas, "\x02" + replica + "\x01\x05"));
  EXPECT_FALSE(body(CommandType::kMetaRenewReplicas, std::string(1, '\0') + replica + "\x01\x05"));
  EXPECT_FALSE(body(CommandType::kMetaSetPeers, "\x02\x01\x00"sv)) << "no peers";
  EXPECT_TRUE(body(CommandType::kMetaResetStream, "\x02\x01\x00"sv));
  EXPECT_FALSE(body(CommandType::kMetaResetStream, "\x00\x01\x00"sv)) << "no group";
  std::string other(8, '\0');
  EXPECT_FALSE(body(CommandType::kMetaRegisterNode, node + other + "\x04\x01n" + std::string(3, '\0')))
      << "flags of a later version";
  EXPECT_FALSE(body(CommandType::kMetaRegisterNode, node + other + "\x01" + std::string(4, '\0')))
      << "no name";
}

TEST(Command, HeaderIsChecked) {
  EntryBuilder b;
  b.tick();
  std::string good(b.finish(Wall{1}).text());
  std::string version = good;
  version[0] = 2;
  auto r = EntryReader::open(Bytes::copy_of(version));
  ASSERT_FALSE(r.has_value());
  EXPECT_EQ(r.error().code, Code::kUnsupported);
  std::string none = good.substr(0, kEntryHeaderBytes);
  none[9] = 0;
  EXPECT_FALSE(EntryReader::open(Bytes::copy_of(none)).has_value());
}

}  // namespace
}  // namespace weir::jetstream
