"""The checker itself: a good history passes, and every rule notices what it is there for.

Run: python3 tests/chaos/test_judge.py
"""

import base64
import os
import random
import tempfile
import unittest
import zlib

import faults
import judge
from damage import corrupt
from replicas import Contents, intact, ranges


def b64(text):
    return base64.b64encode(text.encode()).decode()


class World:
    """A history of two publishes, their deliveries, and one register; tests break one thing each."""

    def __init__(self):
        self.lines = [
            "A LOAD LOAD-p0.1 1 100 200 1 0",
            "A LOAD LOAD-p0.2 2 300 400 1 0",
            "D LOAD 500 510 1 1 LOAD-p0.1",
            "D LOAD 500 511 2 1 LOAD-p0.2",
            "C LOAD 1 520 530",
            "A QUEUE QUEUE-p1.1 1 100 200 1 0",
            "D QUEUE 500 510 1 1 QUEUE-p1.1",
            "C QUEUE 1 520 530",
            "W 0 0 reg0.1/0 100 200 ok 1",
            "W 0 1 reg0.2/1 300 400 ok 2",
            "W 0 1 reg1.2/1 300 400 wrong 0",
            "R 0 500 600 2 " + b64("reg0.2/1"),
        ]
        self.found = []
        self.contents = Contents(self.broken)
        self.contents.seen = {
            "LOAD": {1: (b"a", "LOAD-p0.1"), 2: (b"b", "LOAD-p0.2")},
            "QUEUE": {1: (b"c", "QUEUE-p1.1")},
            "KV_REG": {1: (b"d", "reg0.1/0"), 2: (b"e", "reg0.2/1")},
        }
        self.contents.subjects = {1: "0", 2: "0"}
        self.there = {"LOAD": {1, 2}, "QUEUE": set(), "KV_REG": {1, 2}}
        self.limited = {}

    def broken(self, rule, text):
        self.found.append(rule)

    def judge(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "w.log"), "w") as f:
                f.write("\n".join(self.lines) + "\n")
            h = judge.History(folder)
        judge.check_publishes(h, self.contents, self.broken)
        judge.check_gaps(self.contents, self.there, self.broken, ["LOAD", "KV_REG"], self.limited)
        judge.check_deliveries(h, self.broken, {"LOAD": max(self.there["LOAD"] or {0})})
        judge.check_queue(h, self.there["QUEUE"], self.broken)
        judge.check_registers(h, self.contents, self.broken)
        return sorted(set(self.found))


class Judge(unittest.TestCase):
    def setUp(self):
        self.w = World()

    def finds(self, *rules):
        self.assertEqual(self.w.judge(), sorted(rules))

    def test_good(self):
        self.finds()

    def test_lost(self):
        self.w.lines.append("A LOAD LOAD-p0.3 3 500 600 1 0")
        self.finds("lost")

    def test_two_acks_of_one_id(self):
        self.w.lines.append("A LOAD LOAD-p0.2 3 300 900 2 1")
        self.finds("moved")

    def test_one_sequence_for_two(self):
        self.w.lines.append("A LOAD LOAD-p0.3 2 350 600 1 0")
        self.finds("delivered-altered", "moved")

    def test_stored_twice(self):
        self.w.contents.seen["LOAD"][3] = (b"b", "LOAD-p0.2")
        self.w.there["LOAD"].add(3)
        self.w.lines.append("D LOAD 500 511 3 1 LOAD-p0.2")
        self.finds("stored-twice")

    def test_order(self):
        self.w.lines[0] = "A LOAD LOAD-p0.1 1 410 450 1 0"
        self.finds("order")

    def test_never_acked(self):
        self.w.lines.append("U LOAD LOAD-p0.9 500 30")
        self.finds("never-acked")

    def test_gap_and_vanished(self):
        self.w.there["LOAD"].discard(1)
        self.finds("gap", "vanished")

    def test_a_full_stream_removes_its_oldest(self):
        self.w.there["LOAD"].discard(1)
        self.w.limited = {"LOAD": (1 << 20, (1 << 20) - 1000)}
        self.finds()

    def test_a_stream_that_is_not_full_removes_nothing(self):
        self.w.there["LOAD"].discard(1)
        self.w.limited = {"LOAD": (1 << 20, 1 << 19)}
        self.finds("removed-early")

    def test_a_full_stream_has_no_gaps(self):
        self.w.contents.seen["LOAD"][3] = (b"f", "LOAD-p0.3")
        self.w.lines.append("D LOAD 500 511 3 1 LOAD-p0.3")
        self.w.there["LOAD"] = {1, 3}
        self.w.limited = {"LOAD": (1 << 20, (1 << 20) - 1000)}
        self.finds("gap", "vanished")

    def test_redelivered(self):
        self.w.lines.append("D LOAD 540 550 1 2 LOAD-p0.1")
        self.finds("redelivered")

    def test_redelivery_of_an_earlier_request_is_allowed(self):
        self.w.lines.append("D LOAD 525 550 1 2 LOAD-p0.1")
        self.finds()

    def test_undelivered(self):
        del self.w.lines[3]
        self.finds("undelivered")

    def test_delivered_altered(self):
        self.w.lines[3] = "D LOAD 500 511 2 1 LOAD-p0.7"
        self.finds("delivered-altered")

    def test_queue_lost(self):
        self.w.lines.append("A QUEUE QUEUE-p1.2 2 300 400 1 0")
        self.finds("lost")

    def test_queue_resurrected(self):
        self.w.there["QUEUE"].add(1)
        self.finds("resurrected")

    def test_register_replaced_another(self):
        self.w.contents.seen["KV_REG"][3] = (b"f", "reg1.3/1")
        self.w.contents.subjects[3] = "0"
        self.w.there["KV_REG"].add(3)
        self.finds("cas")

    def test_register_lost(self):
        self.w.lines.append("W 0 2 reg0.3/2 700 800 ok 3")
        self.finds("lost")

    def test_register_order(self):
        self.w.lines[8], self.w.lines[9] = "W 0 0 reg0.1/0 410 420 ok 1", self.w.lines[9]
        self.finds("cas-order")

    def test_stale_read(self):
        self.w.lines.append("R 0 700 800 1 " + b64("reg0.1/0"))
        self.finds("stale-read")

    def test_stale_read_of_nothing(self):
        self.w.lines.append("R 0 700 800 0 -")
        self.finds("stale-read")

    def test_old_read_that_overlaps_is_allowed(self):
        self.w.lines.append("R 0 350 800 1 " + b64("reg0.1/0"))
        self.finds()

    def test_read_of_what_never_was(self):
        self.w.lines.append("R 0 700 800 2 " + b64("reg7.7/1"))
        self.finds("cas")


class Parts(unittest.TestCase):
    def test_intact(self):
        filler = b"\x00\r\n some bytes"
        body = b"LOAD-p0.1 %08x " % zlib.crc32(filler) + filler
        self.assertTrue(intact(body, "LOAD-p0.1"))
        self.assertFalse(intact(body, "LOAD-p0.2"))
        for at in range(len(body)):
            flipped = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
            self.assertFalse(intact(flipped, "LOAD-p0.1"), at)
            self.assertFalse(intact(body[:at], "LOAD-p0.1"), at)

    def test_ranges(self):
        self.assertEqual(ranges({1, 2, 3, 7}), "1-3, 7")
        self.assertEqual(ranges(set()), "")

    def test_a_seed_is_one_plan(self):
        def first(seed):
            steps = faults.plan(seed, faults.KINDS, 3)
            return [next(steps) for _ in range(50)]

        self.assertEqual(first(5), first(5))
        self.assertNotEqual(first(5), first(6))

    def test_damage_is_a_minority(self):
        for nodes in (3, 5):
            steps = faults.plan(1, faults.DAMAGING, nodes)
            for _ in range(200):
                self.assertLessEqual(next(steps)["count"], (nodes - 1) // 2)

    def test_damage_that_nobody_read_yet_counts(self):
        class Node:
            def __init__(self):
                self.damage = []

        order = [Node() for _ in range(5)]
        pick = faults.Faults(None).within_minority
        self.assertEqual(pick(order, 1), order[:1])
        with tempfile.TemporaryDirectory() as folder:
            for number, how in ((4, "flip"), (3, "truncate")):
                path = os.path.join(folder, "file%d" % number)
                with open(path, "wb") as f:
                    f.write(bytes(range(1, 200)))
                step = {"where": "any", "how": how}
                order[number].damage.append(corrupt([path], step, random.Random(number))[1])
            self.assertEqual(pick(order, 2), [order[3], order[4]])
            self.assertEqual(pick(order, 1), [order[3]])
            with open(os.path.join(folder, "file4"), "r+b") as f:  # written over
                f.write(bytes(200))
            self.assertEqual(pick(order, 2), [order[3], order[0]])
            os.rename(os.path.join(folder, "file4"), os.path.join(folder, "file3"))  # another file there
            self.assertEqual(pick(order, 2), order[:2])

    def test_recovery(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "w.log"), "w") as f:
                f.write("A LOAD a.1 1 0 1000000 1 0\nN 1 0 1000000\nA LOAD a.2 2 0 4500000 1 0\nN 1 0 5000000\n")
            steps = [{"begun": 1.5, "healed": 4.0}]
            judge.recoveries(judge.History(folder), steps)
        self.assertAlmostEqual(steps[0]["first_ack"], 0.5)
        self.assertAlmostEqual(steps[0]["all_nodes_ack"], 1.0)
        self.assertAlmostEqual(steps[0]["silence"], 3.5)
        self.assertFalse(steps[0]["cut_short"])

    def test_recovery_cut_short_by_the_next_fault(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "w.log"), "w") as f:
                f.write("A LOAD a.1 1 0 1000000 1 0\nA LOAD a.2 2 0 9500000 1 0\n")
            steps = [{"begun": 1.5, "healed": 3.0}, {"begun": 3.5, "healed": 9.0}]
            judge.recoveries(judge.History(folder), steps)
        self.assertTrue(steps[0]["cut_short"])
        self.assertFalse(steps[1]["cut_short"])
        self.assertAlmostEqual(steps[1]["first_ack"], 0.5)


if __name__ == "__main__":
    unittest.main()
