"""The faults: how each is drawn from the seed, done, and undone.

A step is {"kind", "pause", "hold", ...}: everything random is in it, so a plan can be written down and run
again. "pick" (0..1) names a node by its share of the list; "leader" means the one that leads LOAD then.
Damage (corrupt, wipe) hits a minority, and only when every replica is current. What was changed in a file that is
still there as it was left counts: nobody may have read it yet, and the next to be damaged has the only good copy.
"""

import random
import signal
import time

from damage import corrupt
from network import HOST

KINDS = ("kill", "pause", "partition", "corrupt", "wipe", "diskfull", "rolling")
DAMAGING = ("corrupt", "wipe")
CUTS = ("isolate", "isolate-clients", "oneway-out", "oneway-in", "bridge", "split")


def draw(rng, kind, nodes):
    """One step of a kind."""
    minority = (nodes - 1) // 2
    step = {"kind": kind, "pause": round(rng.uniform(0.3, 2.5), 2), "hold": round(rng.uniform(0.2, 5.0), 2)}
    step["picks"] = [round(rng.random(), 3) for _ in range(nodes)]
    step["leader"] = rng.random() < 0.5
    if kind == "kill":
        step["count"] = rng.choice([1, 1, 1, minority + 1, nodes])
        step["again"] = [round(rng.uniform(0.02, 0.6), 2)] if rng.random() < 0.25 else []
        step["hold"] = round(rng.choice([0.0, rng.uniform(0.05, 0.5), rng.uniform(0.5, 6.0)]), 2)
    elif kind == "pause":
        step["count"] = rng.choice([1, 1, minority, minority + 1, nodes])
        step["hold"] = round(rng.choice([rng.uniform(0.1, 1.0), rng.uniform(1.0, 12.0)]), 2)
    elif kind == "partition":
        step["cut"] = rng.choice(CUTS)
        step["hold"] = round(rng.choice([rng.uniform(0.3, 2.0), rng.uniform(2.0, 15.0)]), 2)
    elif kind in DAMAGING:
        step["count"] = rng.randint(1, max(1, minority))
        if kind == "corrupt":
            step["how"] = rng.choice(["flip", "flip", "truncate"])
            step["where"] = rng.choice(["any", "any", "journal", "segment", "catalog"])
            step["dice"] = rng.randrange(1 << 30)
    elif kind == "diskfull":
        step["count"] = rng.choice([1, 1, minority, nodes])
        step["hold"] = round(rng.uniform(2.0, 8.0), 2)
    elif kind == "rolling":
        step["lame"] = rng.random() < 0.15
    return step


def plan(seed, kinds, nodes):
    """Steps without end: each round has every kind once, in another order."""
    rng = random.Random(seed)
    while True:
        order = list(kinds)
        rng.shuffle(order)
        for kind in order:
            yield draw(rng, kind, nodes)


class Faults:
    """do(step) returns when the fault is over: {"begun", "healed", "what", "notes", "manual"}."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.ports = {}

    def targets(self, step, count):
        nodes = self.cluster.nodes
        order = sorted(nodes, key=lambda n: step["picks"][n - 1])
        leader = self.cluster.leader() if step["leader"] else None
        if leader in order:
            order.remove(leader)
            order.insert(0, leader)
        return [nodes[n] for n in order[:count]]

    def within_minority(self, order, count):
        """The first of `order` to damage: with those whose damage nobody has read yet, a minority."""
        hurt = [n for n in order if any(d.still_there() for d in n.damage)]
        sound = [n for n in order if n not in hurt]
        room = (len(order) - 1) // 2 - len(hurt)
        return (hurt + sound[: max(0, room)])[:count]

    def do(self, step):
        result = {"notes": [], "manual": 0}
        getattr(self, "_" + step["kind"])(step, result)
        return result

    def _kill(self, step, result):
        victims = self.targets(step, step["count"])
        result["what"] = "kill -9 " + names(victims)
        result["begun"] = time.monotonic()
        for node in victims:
            node.kill()
        time.sleep(step["hold"])
        for delay in step["again"]:
            for node in victims:
                node.start()
            time.sleep(delay)
            for node in victims:
                node.kill()
            result["what"] += ", again after %.2f s" % delay
        for node in victims:
            node.start()
        result["healed"] = time.monotonic()
        ready(victims)

    def _pause(self, step, result):
        victims = self.targets(step, step["count"])
        result["what"] = "pause %s for %.1f s" % (names(victims), step["hold"])
        result["begun"] = time.monotonic()
        for node in victims:
            node.pause()
        time.sleep(step["hold"])
        for node in victims:
            node.resume()
        result["healed"] = time.monotonic()

    def _partition(self, step, result):
        net, everyone = self.cluster.network, self.targets(step, len(self.cluster.nodes))
        order = [n.number for n in everyone]
        victim, others, cut = order[0], order[1:], step["cut"]
        result["what"] = "%s of n%d for %.1f s" % (cut, victim, step["hold"])
        result["begun"] = time.monotonic()
        if cut.startswith("isolate"):
            for other in others:
                net.cut_both(victim, other)
            if cut == "isolate-clients":
                net.cut_both(victim, HOST)
        elif cut == "oneway-out":
            for other in others:
                net.cut(victim, other)
        elif cut == "oneway-in":
            for other in others:
                net.cut(other, victim)
        elif cut == "bridge":  # the victim sees both halves, which do not see each other
            half = len(others) // 2
            for a in others[:half]:
                for b in others[half:]:
                    net.cut_both(a, b)
        else:
            small = order[: (len(order) - 1) // 2]
            for a in small:
                for b in order[len(small) :]:
                    net.cut_both(a, b)
        time.sleep(step["hold"])
        net.heal()
        result["healed"] = time.monotonic()

    def _damaged(self, step, result, damage):
        victims = self.within_minority(self.targets(step, len(self.cluster.nodes)), step["count"])
        marks = {}
        result["begun"] = time.monotonic()
        for node in victims:
            node.kill()
        time.sleep(step["hold"])
        result["what"] = "; ".join(damage(node) for node in victims)
        for node in victims:
            marks[node.number] = node.log_size()
            node.start()
        result["healed"] = time.monotonic()
        for node in victims:
            self._start_or_wipe(node, marks[node.number], result)

    def _start_or_wipe(self, node, mark, result):
        """A node may refuse a damaged store, if it says so: then an operator empties it."""
        try:
            node.wait_ready()
        except Exception as e:
            said = [line for line in node.log_since(mark).splitlines() if "ERR" in line or "FTL" in line]
            result["notes"].append("%s: %s" % (e, said[-1][-200:] if said else "says nothing"))
            result["manual"] += 1
            node.kill()
            node.wipe()
            node.start()
            result["healed"] = time.monotonic()
            node.wait_ready()

    def _wipe(self, step, result):
        def damage(node):
            node.wipe()
            return "wipe n%d" % node.number

        self._damaged(step, result, damage)

    def _corrupt(self, step, result):
        rng = random.Random(step["dice"])

        def damage(node):
            what, done = corrupt(node.files(), step, rng)
            node.damage.append(done)
            return "n%d: %s" % (node.number, what)

        self._damaged(step, result, damage)

    def _diskfull(self, step, result):
        victims = self.targets(step, step["count"])
        result["what"] = "disk full on %s for %.1f s" % (names(victims), step["hold"])
        result["begun"] = time.monotonic()
        for node in victims:
            node.fill_disk()
        time.sleep(step["hold"])
        for node in victims:
            node.free_disk()
        result["healed"] = time.monotonic()

    def _rolling(self, step, result):
        number = signal.SIGUSR2 if step["lame"] else signal.SIGTERM
        order = self.targets(step, len(self.cluster.nodes))
        if step["lame"]:
            order = order[:1]  # 30 s each
        result["what"] = "rolling %s of %s (%s)" % (
            "change of version" if self.cluster.options.next else "restart",
            names(order),
            signal.Signals(number).name,
        )
        result["begun"] = time.monotonic()
        for node in order:
            if not node.stop(number):
                result["notes"].append("n%d did not end within 60 s of %s" % (node.number, number))
            elif node.process.returncode not in (0, 1, -15):
                result["notes"].append("n%d ended with %s" % (node.number, node.process.returncode))
            node.change_program()
            node.start()
            result["healed"] = time.monotonic()
            node.wait_ready()
            _, why = self.cluster.wait_current(60)
            if why:
                result["notes"].append("after n%d: %s" % (node.number, why))


def names(nodes):
    return "+".join("n%d" % n.number for n in nodes)


def ready(nodes):
    for node in nodes:
        node.wait_ready()
