"""Damage to a store: what was acknowledged stays, and what cannot be read is said, not dropped in silence."""

import base64
import pathlib
import random
import sys
import time
import unittest

sys.path.insert(0, __file__.rsplit("/bad/", 1)[0] + "/lib")
from broker import Broker, BrokerFailed, Wire  # noqa: E402

COUNT = 2000


def body(i):
    return b"%d:" % i + b"x" * (i % 700)


class Store(unittest.TestCase):
    def setUp(self):
        self.broker = Broker().start()
        self.addCleanup(self.broker.__exit__)

    def fill(self, count=COUNT, first=1):
        """Publishes without waiting for each; returns when all are acknowledged."""
        with Wire(self.broker) as wire:
            if first == 1:
                self.assertNotIn("error", wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]}))
            wire.send(b"SUB acks 99\r\n")
            for i in range(first, first + count):
                data = body(i)
                wire.send(b"PUB s.%d acks %d\r\n%s\r\n" % (i % 10, len(data), data))
            for i in range(first, first + count):
                self.assertIn(b'"seq":%d' % i, wire.message()[3])

    def journal(self):
        """Journal files, the one written last at the end."""
        files = list((self.broker.store / "jetstream" / "journal").glob("*.jnl"))
        return sorted(files, key=lambda p: p.stat().st_mtime_ns)

    def check_all(self, count=COUNT):
        with Wire(self.broker) as wire:
            state = wire.api("STREAM.INFO.S")["state"]
            self.assertEqual((state["first_seq"], state["last_seq"], state["messages"]), (1, count, count))
            for i in [1, 2, count // 2, count - 1, count] + random.Random(3).sample(range(1, count), 100):
                answer = wire.api("STREAM.MSG.GET.S", {"seq": i})
                self.assertNotIn("error", answer, i)
                self.assertEqual(base64.b64decode(answer["message"]["data"]), body(i))

    @staticmethod
    def last_byte_used(path):
        data = path.read_bytes()
        return len(data.rstrip(b"\0"))

    def test_kill_alone_loses_nothing(self):
        self.fill()
        for _ in range(3):
            self.broker.restart(hard=True)
            self.check_all()

    def test_torn_tail_is_cut_and_nothing_acknowledged_before_it_is_lost(self):
        """Bytes after the last acknowledged write are what a power cut may tear."""
        self.fill()
        self.broker.kill()
        last = self.journal()[-1]
        end = self.last_byte_used(last)
        with open(last, "r+b") as f:
            f.seek(end + 64)
            f.write(random.Random(1).randbytes(3000))  # half of a frame that was never promised
        self.broker.start()
        self.check_all()
        self.fill(10, COUNT + 1)
        self.broker.restart(hard=True)
        self.check_all(COUNT + 10)

    def damaged(self, change):
        """Damages the newest journal file after a kill. (started, text of the log, state or None)"""
        self.fill()
        time.sleep(0.5)  # at rest the journal promises its last frame too (docs/formats/journal.md)
        self.broker.kill()
        before = len(self.broker.log())
        change(self.journal()[-1])
        try:
            self.broker.start()
        except BrokerFailed as e:
            return False, e.text, None
        with Wire(self.broker) as wire:
            answer = wire.api("STREAM.INFO.S")
        return True, self.broker.log()[before:], answer

    def judge(self, started, text, answer, what):
        """Either everything is there, or the broker says that something is not."""
        print(
            "  %s: %s"
            % (
                what,
                [
                    l.split("] ", 1)[-1][:160]
                    for l in text.splitlines()
                    if any(k in l for k in ("[ERR]", "[WRN]", "[FTL]"))
                ],
            )
        )
        complete = started and "state" in answer and answer["state"]["messages"] == COUNT
        if not complete:
            self.assertRegex(text, r"\[(ERR|WRN|FTL)\]", what)
            self.assertRegex(text, r"(?i)journal|corrupt|damage|fault", what)
        return complete

    def test_last_file_cut_short(self):
        """The file lost its end, promised bytes among them: that is damage, not a torn write."""

        def cut(path):
            with open(path, "r+b") as f:
                f.truncate(self.last_byte_used(path) // 2)

        self.judge(*self.damaged(cut), "file cut in half")

    def test_last_write_destroyed_costs_only_itself(self):
        """The last frame is only promised by the next one: it may be cut as torn, and nothing else may go."""
        self.fill(COUNT - 1)
        self.fill(1, COUNT)  # alone in its frame
        self.broker.kill()
        last = self.journal()[-1]
        end = self.last_byte_used(last)
        with open(last, "r+b") as f:
            f.seek(end - 50)
            f.write(bytes(50))
        self.broker.start()
        with Wire(self.broker) as wire:
            state = wire.api("STREAM.INFO.S")["state"]
        self.assertIn(state["last_seq"], (COUNT - 1, COUNT))
        self.check_all(state["last_seq"])
        self.fill(10, state["last_seq"] + 1)
        self.broker.restart(hard=True)
        self.check_all(state["last_seq"] + 10)

    def test_flipped_byte_in_the_middle(self):
        def flip(path):
            at = self.last_byte_used(path) // 2
            with open(path, "r+b") as f:
                f.seek(at)
                old = f.read(1)
                f.seek(at)
                f.write(bytes([old[0] ^ 0x40]))

        started, text, answer = self.damaged(flip)
        complete = self.judge(started, text, answer, "one byte flipped")
        self.assertRegex(text, "(?i)damaged", "a flipped byte in a full journal cannot go unnoticed")
        if complete:  # it hit what only describes the records, and all of them were salvaged
            self.assertRegex(text, r"[1-9]\d* records salvaged")
            self.check_all(COUNT)

    def test_damage_is_still_there_after_another_start(self):
        """A second start must not turn reported damage into a clean, shorter stream."""

        def flip(path):
            at = self.last_byte_used(path) // 2
            with open(path, "r+b") as f:
                f.seek(at)
                old = f.read(1)
                f.seek(at)
                f.write(bytes([old[0] ^ 0x40]))

        self.judge(*self.damaged(flip), "first start")
        if self.broker.running():
            self.broker.kill()
        before = len(self.broker.log())
        try:
            self.broker.start()
            with Wire(self.broker) as wire:
                answer = wire.api("STREAM.INFO.S")
            self.judge(True, self.broker.log()[before:], answer, "second start")
        except BrokerFailed as e:
            self.judge(False, e.text, None, "second start")

    def test_flipped_byte_in_a_segment(self):
        """A message that cannot be read is an error for its reader; the others are served."""
        self.fill()
        with Wire(self.broker) as wire:
            big = b"y" * 500_000
            wire.send(b"SUB acks 98\r\n")
            for _ in range(60):
                wire.send(b"PUB s.big acks %d\r\n%s\r\n" % (len(big), big))
                wire.message()
        self.broker.stop()
        segments = sorted(pathlib.Path(self.broker.store / "jetstream" / "groups").rglob("*.seg"))
        self.assertTrue(segments, "nothing was sealed")
        with open(segments[0], "r+b") as f:
            f.seek(1000)
            old = f.read(1)
            f.seek(1000)
            f.write(bytes([old[0] ^ 1]))
        self.broker.start()
        with Wire(self.broker) as wire:
            answer = wire.api("STREAM.INFO.S")
            if "error" in answer:  # a damaged index: the stream is offline, and its API says why
                self.assertRegex(answer["error"]["description"], "offline.*seg.*checksum")
                self.assertIn("checksum", self.broker.log())
                self.assertIn("error", wire.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]}))
                self.assertNotIn("error", wire.api("STREAM.CREATE.T", {"name": "T", "subjects": ["t"]}))
                return
            state = answer["state"]
            self.assertEqual(state["last_seq"], COUNT + 60)
            bad = [i for i in range(1, COUNT + 61, 5) if "error" in wire.api("STREAM.MSG.GET.S", {"seq": i})]
            self.assertLess(len(bad), COUNT // 5)
            self.assertNotIn("error", wire.api("STREAM.MSG.GET.S", {"seq": COUNT + 60}))
        self.assertTrue(self.broker.running())
        print("  unreadable after one flipped byte: %d of %d read" % (len(bad), (COUNT + 60) // 5))
        if bad:
            self.assertRegex(self.broker.log(), r"\[(ERR|WRN)\]")

    def test_nothing_of_other_streams_is_lost_with_an_unknown_folder(self):
        """Data that looks orphaned is kept."""
        self.fill()
        self.broker.stop()
        stray = self.broker.store / "jetstream" / "groups" / "999"
        stray.mkdir(parents=True)
        (stray / "0000000000000001.seg").write_bytes(b"somebody's data")
        self.broker.start()
        self.check_all()
        self.broker.stop()
        kept = list((self.broker.store / "jetstream").rglob("*.seg"))
        self.assertTrue(any(p.read_bytes() == b"somebody's data" for p in kept))


if __name__ == "__main__":
    unittest.main(verbosity=1)
