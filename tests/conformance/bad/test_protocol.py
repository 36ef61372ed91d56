"""Input of clients that is wrong: each gets its error, nobody else notices, the process stays."""

import json
import random
import sys
import unittest

sys.path.insert(0, __file__.rsplit("/bad/", 1)[0] + "/lib")
from broker import Broker, Wire  # noqa: E402

# Line, what the broker answers, whether it closes.
LINES = [
    (b"NONSENSE\r\n", "-ERR 'Unknown Protocol Operation'", True),
    (b"\x00\x01\x02\x03\r\n", "-ERR 'Unknown Protocol Operation'", True),
    (b"GET / HTTP/1.1\r\n", "-ERR 'Unknown Protocol Operation'", True),
    (b"PUBX foo 1\r\nx\r\n", "-ERR 'Unknown Protocol Operation'", True),
    (b"PUB foo\r\n", "-ERR", True),
    (b"PUB foo -1\r\n", "-ERR", True),
    (b"PUB foo bar baz 1\r\nx\r\n", "-ERR", True),
    (b"PUB foo 99999999999999999999\r\n", "-ERR", True),
    (b"PUB foo one\r\n", "-ERR", True),
    (b"PUB foo 3\r\nabcdef\r\n", "-ERR", True),
    (b"PUB foo 1048577\r\n", "-ERR 'Maximum Payload Violation'", True),
    (b"HPUB foo 10 5\r\n", "-ERR", True),
    (b"HPUB foo 5\r\n", "-ERR", True),
    (b"HPUB foo x 5\r\n", "-ERR", True),
    (b"HPUB foo 1 1048577\r\n", "-ERR 'Maximum Payload Violation'", True),
    (b"SUB foo\r\n", "-ERR", True),
    (b"SUB\r\n", "-ERR", True),
    (b"SUB foo a b c d\r\n", "-ERR", True),
    (b"SUB foo..bar 1\r\n", "-ERR 'Invalid Subject'", False),
    (b"SUB .foo 1\r\n", "-ERR 'Invalid Subject'", False),
    (b"SUB foo. 1\r\n", "-ERR 'Invalid Subject'", False),
    (b"SUB foo.>.bar 1\r\n", "-ERR 'Invalid Subject'", False),
    (b"UNSUB\r\n", "-ERR", True),
    (b"UNSUB 1 2 3\r\n", "-ERR", True),
    (b"UNSUB 1 x\r\n", None, None),
    (b"CONNECT {\r\n", "-ERR", True),
    (b"CONNECT nothing\r\n", "-ERR", True),
    (b"CONNECT [1,2]\r\n", "-ERR", True),
    (b'CONNECT {"verbose": "yes"}\r\n', "-ERR", True),
    (b"MSG foo 1 1\r\nx\r\n", "-ERR", True),
    (b"PUB " + b"x" * 5000 + b" 1\r\nx\r\n", "-ERR 'maximum control line exceeded'", True),
    (b"SUB " + b"x" * 100000 + b" 1\r\n", "-ERR 'maximum control line exceeded'", True),
    (b'CONNECT {"name": "' + b"x" * 20000 + b'"}\r\n', "-ERR 'maximum control line exceeded'", True),
]


class Protocol(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker().start()

    @classmethod
    def tearDownClass(cls):
        cls.broker.__exit__()

    def test_lines(self):
        with Wire(self.broker) as witness:
            witness.send(b"SUB witness 1\r\n")
            self.assertEqual(witness.ping(), [])
            for text, answer, closes in LINES:
                with self.subTest(text[:60]), Wire(self.broker) as wire:
                    wire.send(text + b"PING\r\n")
                    lines = wire.until("PONG")
                    closed = bool(lines) and lines[-1] == ""
                    if answer is not None:
                        self.assertTrue(any(x.startswith(answer) for x in lines), lines)
                    if closes is not None:
                        self.assertEqual(closed, closes, lines)
            self.assertEqual(witness.ping(), [])
        self.assertTrue(self.broker.running())

    def test_split_at_every_byte(self):
        text = b"SUB a.b q 1\r\nPUB a.b r 5\r\nhello\r\nHPUB a.b 12 14\r\nNATS/1.0\r\n\r\nxy\r\nPING\r\n"
        for cut in range(1, len(text)):
            with Wire(self.broker) as wire:
                wire.send(text[:cut])
                wire.send(text[cut:])
                subject, reply, _, body = wire.message()
                self.assertEqual((subject, reply, body), ("a.b", "r", b"hello"), cut)
                _, _, head, body = wire.message()
                self.assertEqual((head, body), (b"NATS/1.0\r\n\r\n", b"xy"), cut)
                self.assertEqual(wire.until("PONG"), [], cut)

    def test_largest_payload_passes(self):
        with Wire(self.broker) as wire:
            wire.send(b"SUB big 1\r\nPUB big 1048576\r\n" + b"x" * 1048576 + b"\r\n")
            self.assertEqual(len(wire.message()[3]), 1048576)

    def test_random_bytes(self):
        rng = random.Random(7)
        verbs = [
            b"PUB ",
            b"HPUB ",
            b"SUB ",
            b"UNSUB ",
            b"PING\r\n",
            b"PONG\r\n",
            b"CONNECT {",
            b"foo ",
            b"1 ",
            b"\r\n",
            b"\r",
            b"\n",
            b"\x00",
            b"\xff\xfe",
            b"99 ",
            b"$JS.API.INFO ",
            b"> ",
            b"* ",
            b"NATS/1.0\r\n",
        ]
        for _ in range(300):
            with Wire(self.broker, connect=None if rng.random() < 0.3 else "{}") as wire:
                try:
                    for _ in range(rng.randrange(1, 20)):
                        wire.send(
                            rng.choice(verbs) if rng.random() < 0.8 else rng.randbytes(rng.randrange(1, 40))
                        )
                except OSError:
                    pass  # closed already: fine
        with Wire(self.broker) as wire:
            self.assertEqual(wire.ping(), [])
        self.assertTrue(self.broker.running())

    def test_abandoned_connections(self):
        for _ in range(50):
            wire = Wire(self.broker)
            wire.send(b"SUB leave.> 1\r\nPUB leave.x 1000\r\nabc")
            wire.close()
        with Wire(self.broker) as wire:
            self.assertEqual(wire.ping(), [])


API = [
    "INFO",
    "ACCOUNT.PURGE.X",
    "STREAM.CREATE.S",
    "STREAM.UPDATE.S",
    "STREAM.INFO.S",
    "STREAM.NAMES",
    "STREAM.LIST",
    "STREAM.DELETE.NONE",
    "STREAM.PURGE.S",
    "STREAM.MSG.GET.S",
    "STREAM.MSG.DELETE.S",
    "STREAM.SNAPSHOT.S",
    "STREAM.RESTORE.S",
    "STREAM.PEER.REMOVE.S",
    "STREAM.LEADER.STEPDOWN.S",
    "CONSUMER.CREATE.S",
    "CONSUMER.CREATE.S.C",
    "CONSUMER.CREATE.S.C.foo",
    "CONSUMER.DURABLE.CREATE.S.C",
    "CONSUMER.INFO.S.C",
    "CONSUMER.NAMES.S",
    "CONSUMER.LIST.S",
    "CONSUMER.DELETE.S.NONE",
    "CONSUMER.MSG.NEXT.S.C",
    "CONSUMER.PAUSE.S.C",
    "CONSUMER.RESET.S.C",
    "CONSUMER.UNPIN.S.C",
    "CONSUMER.LEADER.STEPDOWN.S.C",
    "DIRECT.GET.S",
    "DIRECT.GET.S.foo.bar",
    "SERVER.REMOVE",
    "META.LEADER.STEPDOWN",
    "NO.SUCH.THING",
    "STREAM.CREATE",
    "STREAM.INFO.bad>name",
    "CONSUMER.INFO.S",
    "STREAM.CREATE.",
    "STREAM.CREATE.a b",
]
BODIES = [
    b"",
    b"{",
    b"}",
    b"null",
    b"[]",
    b'"x"',
    b"12",
    b"{}",
    b'{"name":12}',
    b'{"name":"S","subjects":"x"}',
    b'{"name":"S","subjects":["$JS.API.>"]}',
    b'{"name":"S","subjects":["a..b"]}',
    b'{"name":"S","num_replicas":99}',
    b'{"name":"S","max_age":-5}',
    b'{"name":"S","max_age":1}',
    b'{"name":"S","max_msgs":1e400}',
    b'{"name":"S","max_msgs":9223372036854775808}',
    b'{"name":"S","retention":"maybe"}',
    b'{"name":"../../etc"}',
    b'{"name":"' + b"n" * 300 + b'"}',
    b'{"seq":0}',
    b'{"seq":-1}',
    b'{"seq":18446744073709551615}',
    b'{"seq":1e99}',
    b'{"batch":-1}',
    b'{"batch":1000000000}',
    b'{"expires":-1}',
    b'{"offset":-1}',
    b'{"offset":99999999999}',
    b'{"stream_name":"S","config":null}',
    b'{"stream_name":"T","config":{}}',
    b'{"stream_name":"S","config":{"durable_name":"a.b"}}',
    b'{"stream_name":"S","config":{"ack_wait":-1,"durable_name":"C"}}',
    b'{"stream_name":"S","config":{"deliver_policy":"by_start_sequence","durable_name":"C"}}',
    b'{"stream_name":"S","config":{"opt_start_time":"yesterday","durable_name":"C"}}',
    b'{"stream_name":"S","config":{"backoff":[-1,0],"durable_name":"C"}}',
    b'{"filter":"' + b"a." * 2000 + b'b"}',
    b"\xff\xfe\x00",
    b'{"a":' * 2000,
    b"[" * 100000,
    b'{"name":"S","name":"T"}',
    b'{"keep":5,"seq":5}',
    b'{"last_by_subj":"a.."}',
    b'{"multi_last":[">"],"up_to_seq":1}',
    b'{"no_wait":"x"}',
    b'{"next_by_subj":5}',
]


class Api(unittest.TestCase):
    def test_every_subject_with_every_body(self):
        """Each request is answered: JSON (success, or an error of code 400..503), or a status header."""
        with Broker() as broker, Wire(broker) as wire:
            self.assertNotIn("error", wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["foo.>"]}))
            wire.send(b"PUB foo.bar 1\r\nx\r\n")
            made = wire.api(
                "CONSUMER.DURABLE.CREATE.S.C",
                {
                    "stream_name": "S",
                    "config": {"durable_name": "C", "ack_policy": "explicit", "max_waiting": 4},
                },
            )
            self.assertNotIn("error", made)
            wire.sock.settimeout(5)
            silent = []
            for subject in API:
                for body in BODIES:
                    if " " in subject:
                        continue
                    if subject.startswith("CONSUMER.MSG.NEXT") and b"no_wait" not in body:
                        continue  # a pull may wait for ever, by design
                    self.one(broker, wire, subject, body, silent)
                    if not broker.running():
                        self.fail("the broker died of %s %r\n%s" % (subject, body[:80], broker.log()[-3000:]))
            self.assertEqual(silent, [])

    def one(self, broker, wire, subject, body, silent):
        try:
            head, reply = wire.request("$JS.API." + subject, body)
        except (TimeoutError, EOFError) as e:
            silent.append((subject, body[:60], repr(e)))
            wire.close()
            wire.__init__(broker)
            wire.sock.settimeout(5)
            return
        with self.subTest(subject=subject, body=body[:60]):
            if head:
                self.assertTrue(head.startswith(b"NATS/1.0"), head)
                return
            value = json.loads(reply)
            if "error" in value:
                self.assertIn(value["error"]["code"], range(400, 504))
                self.assertTrue(value["error"]["description"])

    def test_pulls_with_garbage(self):
        """A pull with a bad body ends at once with a status, or waits; it never breaks the consumer."""
        with Broker() as broker, Wire(broker) as wire:
            wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["foo.>"]})
            wire.api(
                "CONSUMER.DURABLE.CREATE.S.C",
                {"stream_name": "S", "config": {"durable_name": "C", "ack_policy": "explicit"}},
            )
            for body in BODIES:
                wire.send(b"PUB $JS.API.CONSUMER.MSG.NEXT.S.C _drop %d\r\n%s\r\n" % (len(body), body))
            self.assertEqual([x for x in wire.ping() if not x.startswith("MSG")], [])
            info = wire.api("CONSUMER.INFO.S.C")
            self.assertEqual(info["name"], "C")
            self.assertTrue(broker.running())


if __name__ == "__main__":
    unittest.main(verbosity=1)
