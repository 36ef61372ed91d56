"""What each replica has stored: read with direct gets from the node itself, compared over time and nodes."""

import hashlib
import re
import zlib

from wire import WireError

BATCH = 400
ID = re.compile(r"^[\w-]+\.\d+$")


class Contents:
    """Per stream: what every sequence shows, who showed it first, and everything that contradicts."""

    def __init__(self, broken):
        self.broken = broken  # called with (rule, text)
        self.seen = {}  # stream -> {seq: (hash, id or register value)}
        self.subjects = {}  # KV_REG only: seq -> key
        self.upto = {}  # (stream, node) -> read up to here

    def read(self, wire, node, stream, whole=False, on_seq=None):
        """Reads one replica from where it was left (or all of it). Returns the sequences seen now."""
        at = 1 if whole else self.upto.get((stream, node), 0) + 1
        seen = self.seen.setdefault(stream, {})
        found = []
        while True:
            try:
                last = self._batch(wire, node, stream, at, seen, found)
            except WireError as e:
                return found, str(e)
            if last is None:
                break
            at = last + 1
        if found:
            self.upto[(stream, node)] = max(found[-1], self.upto.get((stream, node), 0))
        return found, None

    def _batch(self, wire, node, stream, at, seen, found):
        body = ('{"seq":%d,"batch":%d}' % (at, BATCH)).encode()
        inbox = wire.ask("$JS.API.DIRECT.GET." + stream, body, 20.0)
        last = None
        while True:
            m = wire.message()
            if m.subject != inbox:
                continue
            if m.status == "404":
                break
            if m.status == "204":
                break
            if m.status:
                wire.done()
                raise WireError("direct get: status %s" % m.head[9:60].decode("utf-8", "replace").strip())
            if b"Nats-Sequence:" not in m.head:
                raise WireError("direct get: a message without sequence: %r %r" % (m.head[:200], m.body[:80]))
            last = self._one(m, node, stream, seen)
            found.append(last)
        wire.done()
        return last

    def _one(self, m, node, stream, seen):
        h = m.headers()
        seq = int(h["Nats-Sequence"])
        text = "%s|%s|%s|" % (h.get("Nats-Subject"), h.get("Nats-Time-Stamp"), h.get("Nats-Msg-Id"))
        digest = hashlib.blake2b(text.encode() + m.body, digest_size=8).digest()
        if stream == "KV_REG":
            name = m.body.decode("utf-8", "replace")
            self.subjects[seq] = h.get("Nats-Subject", "").rsplit(".k", 1)[-1]
        else:
            name = h.get("Nats-Msg-Id", "-")
        before = seen.get(seq)
        if before is None:
            seen[seq] = (digest, name)
            if stream != "KV_REG" and not intact(m.body, name):
                self.broken("altered", "%s %d on n%d: the body of %s was altered" % (stream, seq, node, name))
        elif before[0] != digest:
            self.broken(
                "two-contents", "%s %d on n%d shows %s, was %s" % (stream, seq, node, name, before[1])
            )
        return seq


def intact(body, name):
    """Does the body belong to the id, and is its checksum right?"""
    head = name.encode() + b" "
    if not ID.match(name) or not body.startswith(head):
        return False
    filler = body[len(head) + 9 :]
    return body[len(head) : len(head) + 9] == b"%08x " % zlib.crc32(filler)


def ranges(numbers, most=6):
    """[1,2,3,7] -> "1-3, 7"."""
    out = []
    for n in sorted(numbers):
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    text = ", ".join(str(a) if a == b else "%d-%d" % (a, b) for a, b in out[:most])
    return text + (", ... (%d ranges)" % len(out) if len(out) > most else "")
