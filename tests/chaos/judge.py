"""The rules: the history that clients wrote down, against what the replicas show.

Every rule has a name; a violation is (rule, text). The registers are checked per key: each successful write
has a revision (its stream sequence), so linearizability is: revisions follow real time, each write replaced
exactly the one it expected, and a read shows the newest write that was confirmed before it or a later one.
"""

import base64
import bisect
import collections
import glob
import os

from replicas import ranges

LARGEST = 64 << 10  # bytes of the largest message of the load, with its headers

Publish = collections.namedtuple("Publish", "stream id seq first acked")
Delivery = collections.namedtuple("Delivery", "asked received seq delivered id")
Write = collections.namedtuple("Write", "key expected value sent done result seq")
Read = collections.namedtuple("Read", "key sent done seq value")


class History:
    def __init__(self, folder):
        self.acks = []
        self.unacked = []
        self.deliveries = collections.defaultdict(list)  # stream -> [Delivery]
        self.confirmed = collections.defaultdict(dict)  # stream -> {seq: when confirmed, first}
        self.tried = collections.defaultdict(set)  # stream -> {seq acknowledged, not confirmed}
        self.writes, self.reads = [], []
        self.probes = collections.defaultdict(list)  # node -> [(sent, acked)]
        self.errors = collections.Counter()
        for path in sorted(glob.glob(os.path.join(folder, "*.log"))):
            with open(path) as f:
                for line in f:
                    if line.endswith("\n"):
                        self._line(line.split())

    def _line(self, t):
        kind = t[0]
        if kind == "A":
            self.acks.append(Publish(t[1], t[2], int(t[3]), int(t[4]), int(t[5])))
        elif kind == "D":
            self.deliveries[t[1]].append(Delivery(int(t[2]), int(t[3]), int(t[4]), int(t[5]), t[6]))
        elif kind == "C":
            known = self.confirmed[t[1]]
            known[int(t[2])] = min(int(t[4]), known.get(int(t[2]), int(t[4])))
        elif kind == "T":
            self.tried[t[1]].add(int(t[2]))
        elif kind == "W":
            self.writes.append(Write(t[1], int(t[2]), t[3], int(t[4]), int(t[5]), t[6], int(t[7])))
        elif kind == "R":
            self.reads.append(Read(t[1], int(t[2]), int(t[3]), int(t[4]), t[5] if len(t) > 5 else ""))
        elif kind == "U":
            self.unacked.append((t[1], t[2], int(t[4])))
        elif kind == "N":
            self.probes[int(t[1])].append((int(t[2]), int(t[3])))
        elif kind == "E":
            self.errors[t[1]] += int(t[2])


class Rule:
    """Collects violations of one rule; many of a kind become one text with a count."""

    def __init__(self, broken, name):
        self.broken, self.name, self.count = broken, name, 0

    def __call__(self, text):
        self.count += 1
        if self.count <= 5:
            self.broken(self.name, text)

    def close(self):
        if self.count > 5:
            self.broken(self.name, "... %d in all" % self.count)


def check_publishes(history, contents, broken, skip=()):
    """Acknowledged means stored, under that sequence, once; nothing else is there."""
    lost, moved = Rule(broken, "lost"), Rule(broken, "moved")
    double, order = Rule(broken, "stored-twice"), Rule(broken, "order")
    never = Rule(broken, "never-acked")
    acked = collections.defaultdict(dict)  # stream -> {id: seq}
    for p in history.acks:
        if p.stream in skip:
            continue
        before = acked[p.stream].setdefault(p.id, p.seq)
        if before != p.seq:
            moved("%s: %s acknowledged as %d and as %d" % (p.stream, p.id, before, p.seq))
    for stream, ids in acked.items():
        seen = contents.seen.get(stream, {})
        owner = {}
        for name, seq in ids.items():
            if seq in owner:
                moved("%s: %d acknowledged for %s and %s" % (stream, seq, owner[seq], name))
            owner[seq] = name
            if seq in seen and seen[seq][1] != name:
                moved("%s: %s acknowledged as %d, there is %s" % (stream, name, seq, seen[seq][1]))
            if seq not in seen and stream != "QUEUE":
                lost("%s: %s acknowledged as %d is not there" % (stream, name, seq))
        by_id = {}
        for seq, (_, name) in seen.items():
            if name in by_id:
                double("%s: %s at %d and %d" % (stream, name, by_id[name], seq))
            by_id[name] = seq
    _check_order(history, skip, order)
    for stream, name, tries in history.unacked:
        if stream not in skip:
            never("%s: %s was not acknowledged in %d tries" % (stream, name, tries))
    for rule in (lost, moved, double, order, never):
        rule.close()


def _check_order(history, skip, order):
    """Sent after another was acknowledged: a higher sequence."""
    events = []
    for p in history.acks:
        if p.first and p.stream not in skip:
            events += [(p.first, 1, p), (p.acked, 0, p)]
    newest, floors = {}, {}
    for _, begins, p in sorted(events, key=lambda e: (e[0], -e[1])):
        if begins:
            floors[id(p)] = newest.get(p.stream)
            continue
        low = floors.get(id(p))
        if low and low.seq > p.seq:
            order("%s: %s (%d) was sent after %s (%d) was acknowledged" % (p.stream, p.id, p.seq, low.id, low.seq))
        if p.stream not in newest or newest[p.stream].seq < p.seq:
            newest[p.stream] = p


def check_gaps(contents, now, broken, streams, limited):
    """now: {stream: set of sequences that are there}. Nothing is ever removed from these.

    But from limited, {stream: (bytes it may hold, bytes it holds)}: the oldest, and only when it is full.
    """
    for stream in streams:
        there = now.get(stream, set())
        if not there:
            continue
        first = 1
        if stream in limited:
            most, held = limited[stream]
            first = min(there)
            if first > 1 and held < most - LARGEST:
                broken("removed-early", "%s begins at %d and holds %d of %d bytes" % (stream, first, held, most))
        gaps = set(range(first, max(there) + 1)) - there
        if gaps:
            broken("gap", "%s: %d sequences are missing: %s" % (stream, len(gaps), ranges(gaps)))
        gone = {seq for seq in contents.seen.get(stream, {}) if seq >= first} - there
        if gone:
            broken("vanished", "%s: %d sequences were there and are gone: %s" % (stream, len(gone), ranges(gone)))


def check_deliveries(history, broken, last_seqs):
    """Confirmed acknowledgements hold; what was delivered is what was stored; everything came."""
    for stream, deliveries in history.deliveries.items():
        again, other = Rule(broken, "redelivered"), Rule(broken, "delivered-altered")
        confirmed = history.confirmed[stream]
        acked = {p.seq: p.id for p in history.acks if p.stream == stream}
        names = {}
        for d in deliveries:
            when = confirmed.get(d.seq)
            if when is not None and when < d.asked:
                again(
                    "%s %d (%s) came again, delivery %d, by a request %.1f ms after its confirmation"
                    % (stream, d.seq, d.id, d.delivered, (d.asked - when) / 1e3)
                )
            first = names.setdefault(d.seq, d.id)
            if first != d.id or acked.get(d.seq, d.id) != d.id:
                other("%s %d delivered as %s, was %s" % (stream, d.seq, d.id, acked.get(d.seq, first)))
        missing = set(range(1, last_seqs.get(stream, 0) + 1)) - set(names)
        if missing:
            broken("undelivered", "%s: %d never delivered: %s" % (stream, len(missing), ranges(missing)))
        again.close()
        other.close()


def check_queue(history, there, broken):
    """A work queue holds what was not acknowledged, and loses nothing else."""
    delivered = {d.seq for d in history.deliveries["QUEUE"]}
    for p in history.acks:
        if p.stream == "QUEUE" and p.seq not in there and p.seq not in delivered:
            broken("lost", "QUEUE: %s (%d) is gone and was never delivered" % (p.id, p.seq))
    back = there & set(history.confirmed["QUEUE"])
    if back:
        broken("resurrected", "QUEUE: %d are there after their confirmation: %s" % (len(back), ranges(back)))


def check_registers(history, contents, broken):
    """Compare-and-set and leader reads, per key."""
    cas, real_time, stale = Rule(broken, "cas"), Rule(broken, "cas-order"), Rule(broken, "stale-read")
    chains = collections.defaultdict(list)
    for seq, (_, value) in sorted(contents.seen.get("KV_REG", {}).items()):
        chains[contents.subjects[seq]].append((seq, value))
    known = {seq: value for chain in chains.values() for seq, value in chain}
    for key, chain in chains.items():
        before = 0
        for seq, value in chain:
            if int(value.rsplit("/", 1)[-1]) != before:
                cas("key %s: %s at %d replaced revision %d" % (key, value, seq, before))
            before = seq
    for w in history.writes:
        if w.result == "ok" and known.get(w.seq) != w.value:
            broken("lost", "register %s: %s written as %d, there is %s" % (w.key, w.value, w.seq, known.get(w.seq)))
    sent = {w.value: w.sent for w in history.writes}
    for r in history.reads:
        value = base64.b64decode(r.value).decode() if r.seq else ""
        if r.seq and known.get(r.seq) != value:
            cas("key %s: read %s at %d, there is %s" % (r.key, value, r.seq, known.get(r.seq)))
        if r.seq and sent.get(value, 0) > r.done:
            cas("key %s: read %s before it was written" % (r.key, value))
    for key in set(chains) | {r.key for r in history.reads}:
        _follow(history, key, real_time, stale)
    for rule in (cas, real_time, stale):
        rule.close()


def _follow(history, key, real_time, stale):
    """Events by time: what was confirmed before an operation began is a lower bound of what it sees."""
    events = []
    for w in history.writes:
        if w.key == key and w.result == "ok":
            events += [(w.sent, 1, w), (w.done, 0, w)]
    for r in history.reads:
        if r.key == key:
            events += [(r.sent, 1, r), (r.done, 0, r)]
    floor, floors = 0, {}
    for _, begins, op in sorted(events, key=lambda e: (e[0], -e[1])):
        if begins:
            floors[id(op)] = floor
            continue
        low = floors[id(op)]
        if isinstance(op, Write):
            if op.seq <= low:
                real_time("key %s: %s written as %d after %d was seen" % (key, op.value, op.seq, low))
        elif op.seq < low:
            stale("key %s: read revision %d at %d after %d was seen" % (key, op.seq, op.sent, low))
        floor = max(floor, op.seq)


def first_after(times, when):
    """Index of the first of sorted times that is not before when, or None."""
    i = bisect.bisect_left(times, when)
    return i if i < len(times) else None


def recoveries(history, steps):
    """Seconds after each heal: first R3 ack anywhere, first ack through every node, longest silence.

    "cut_short": the next fault came before the first ack, and says nothing of this one's end.
    """
    acked = sorted(p.acked for p in history.acks if p.stream == "LOAD")
    probes = {n: sorted(done for sent, done in list_) for n, list_ in history.probes.items()}
    for number, step in enumerate(steps):
        heal, begun = step["healed"] * 1e6, step["begun"] * 1e6
        next_begun = steps[number + 1]["begun"] if number + 1 < len(steps) else float("inf")
        i = first_after(acked, heal)
        step["first_ack"] = (acked[i] - heal) / 1e6 if i is not None else None
        took = float("inf") if step["first_ack"] is None else step["first_ack"]
        step["cut_short"] = step["healed"] + took > next_begun
        per_node = []
        for times in probes.values():
            k = first_after(times, heal)
            per_node.append((times[k] - heal) / 1e6 if k is not None else None)
        step["all_nodes_ack"] = None if None in per_node or not per_node else max(per_node)
        a, b = first_after(acked, begun), i if i is not None else len(acked) - 1
        silence = 0.0
        if a is not None:
            for k in range(max(a, 1), b + 1):
                silence = max(silence, (acked[k] - acked[k - 1]) / 1e6)
        step["silence"] = silence
