"""Several real brokers under load and faults; at the end their history is checked against every promise.

Run by tools/chaos (see --help and README.md). Standard library only; the load is weir-chaos-load (libnats).
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback

import faults
import judge
import network
import report
from cluster import LOAD_BYTES, REPLICATED, Cluster, NodeDied
from replicas import Contents, ranges
from wire import Wire, WireError

CURRENT_S = 60.0
RECOVER_S = 5.0
READ_TRIES = 3
ALL = ("LOAD", "SOLO", "QUEUE", "KV_REG")


class Stalls(threading.Thread):
    """Times at which this machine did not run us: what brokers cannot be blamed for."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen = []  # (end, seconds)

    def run(self):
        last = time.monotonic()
        while True:
            time.sleep(0.05)
            now = time.monotonic()
            if now - last > 0.3:
                self.seen.append((now, now - last))
            last = now

    def within(self, begin, end):
        return sum(s for at, s in self.seen if begin <= at <= end + 1)


class Run:
    def __init__(self, options):
        self.options = options
        self.cluster = Cluster(options)
        self.folder = options.folder or "%s/slot%d" % (network.RUNS, self.cluster.network.slot)
        network.unmount_all(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder + "/history")
        self.steps, self.violations = [], []
        self.contents = Contents(self.broken)
        self.load = None
        self.summary = {}
        self.stalls = Stalls()
        self.stalls.start()

    def broken(self, rule, text):
        step = len(self.steps)
        self.violations.append({"rule": rule, "text": text, "step": step})
        print("VIOLATION after step %d: %s: %s" % (step, rule, text), flush=True)

    # ---- load

    def start_load(self):
        self.load = subprocess.Popen(
            [self.options.load, self.folder + "/history", str(self.options.seed), str(self.options.rate)]
            + [self.cluster.urls()],
            stdin=subprocess.PIPE,
            stderr=open(self.folder + "/load.err", "w"),
            text=True,
        )

    def stop_load(self):
        self.load.stdin.write("stop\n")
        self.load.stdin.flush()
        try:
            self.load.wait(200)
        except subprocess.TimeoutExpired:
            self.broken("clients-hang", "the load does not end within 200 s of its stop")
            self.load.kill()
            self.load.wait()

    # ---- one step

    def step(self, fault, step):
        if step["kind"] in faults.DAMAGING:
            self.current("before the damage")
        time.sleep(step["pause"])
        began = time.monotonic()
        try:
            result = fault.do(step)
        except NodeDied as e:
            result = {"what": step["kind"], "begun": began, "healed": time.monotonic(), "notes": [], "manual": 0}
            self.broken("does-not-start", "%s: %s" % (json.dumps(step), e))
        result.update(kind=step["kind"], plan=step)
        self.steps.append(result)
        self.revive(result)
        result["current"] = self.current("after " + result.get("what", step["kind"]))
        if self.options.read_each:
            self.read_all(whole=False)
        report.line(len(self.steps), result)

    def revive(self, result):
        """A process that ended by itself is started again, as a service manager would."""
        for node in self.cluster.nodes.values():
            if node.running:
                continue
            code, tail = node.process.returncode, node.log_since(max(0, node.log_size() - 600))
            result["notes"].append("n%d ended by itself with %s" % (node.number, code))
            if result["kind"] != "diskfull" or code < 0:
                self.broken("died", "n%d ended by itself with %s: %s" % (node.number, code, tail))
            node.start()
            result["healed"] = time.monotonic()
            try:
                node.wait_ready()
            except NodeDied as e:
                self.broken("does-not-start", str(e))

    def current(self, when):
        took, why = self.cluster.wait_current(CURRENT_S)
        if why:
            self.broken("not-current", "%s: %s, for %d s" % (when, why, CURRENT_S))
        return took

    # ---- reading

    def read_all(self, whole):
        """Every replica of every stream. Returns {(stream, node): sequences}."""
        found, skip = {}, self.skipped()
        for node in self.cluster.nodes.values():
            for stream in sorted(node.streams() or ()):
                if stream not in ALL or stream in skip:
                    continue
                seqs, error = self.read_one(node, stream, whole)
                found[(stream, node.number)] = set(seqs)
                if error and (whole or "without" in error):
                    self.broken("unreadable", "%s on n%d: %s" % (stream, node.number, error))
        return found

    def read_one(self, node, stream, whole):
        """Sequences and an error, or None. At the end it is tried again: a replica that finds damage while it
        is read begins anew, and says so."""
        for left in reversed(range(READ_TRIES if whole else 1)):
            try:
                with Wire(node.address, timeout=5) as wire:
                    seqs, error = self.contents.read(wire, node.number, stream, whole)
            except WireError as e:
                seqs, error = [], str(e)
            if not error or not left:
                return seqs, error
            print("   %s on n%d is read again: %s" % (stream, node.number, error), flush=True)
            self.current("to read again")

    # ---- the end

    def skipped(self):
        """R1 has no other copy: what was damaged on purpose is gone."""
        damaged = any(s["kind"] in ("wipe", "corrupt") for s in self.steps)
        return ("SOLO",) if damaged else ()

    def final(self):
        self.revive({"kind": "end", "notes": []})
        self.current("before the end")
        self.stop_load()
        self.current("at the end")
        time.sleep(1.0)
        found = self.read_all(whole=True)
        skip = self.skipped()
        there = {}
        for stream in REPLICATED:
            copies = {n: s for (name, n), s in found.items() if name == stream}
            union = set().union(*copies.values()) if copies else set()
            there[stream] = union
            for n, seqs in copies.items():
                if seqs != union:
                    less = union - seqs
                    self.broken("replicas-differ", "%s on n%d lacks %d: %s" % (stream, n, len(less), ranges(less)))
        for (name, _), seqs in found.items():
            if name == "SOLO":
                there["SOLO"] = there.get("SOLO", set()) | seqs
        self.compare_states()
        history = judge.History(self.folder + "/history")
        self.check(history, there, skip)
        judge.recoveries(history, self.steps)
        for number, step in enumerate(self.steps, 1):
            healed, took = step["healed"], step["first_ack"]
            step["stalled"] = self.stalls.within(step["begun"], healed + (took or 60))
            if step["cut_short"] and self.steps[number]["begun"] - healed < RECOVER_S:
                step["first_ack"] = None
            elif took is None or took - step["stalled"] > RECOVER_S:
                self.broken("slow", "step %d (%s): first R3 ack after %s s" % (number, step["what"], step["first_ack"]))
        self.summary = report.summary(self, history, there)

    def check(self, history, there, skip):
        gapless = ["LOAD", "KV_REG"] + ([] if skip else ["SOLO"])
        judge.check_publishes(history, self.contents, self.broken, skip)
        # What a client was told must be there now, not only have been seen: but for what LOAD had no room for.
        first = min(there.get("LOAD") or {1})
        for p in history.acks:
            if p.stream == "LOAD" and p.seq >= first and p.seq not in there.get("LOAD", ()):
                self.broken("lost", "%s: %s (%d) is not there at the end" % (p.stream, p.id, p.seq))
                break
        held = [detail["LOAD"]["state"]["bytes"] for detail in self.streams.values() if "LOAD" in detail]
        limited = {"LOAD": (LOAD_BYTES, min(held, default=0))}
        judge.check_gaps(self.contents, there, self.broken, gapless, limited)
        last = {s: max(there[s]) for s in ("LOAD",) if there.get(s)}
        judge.check_deliveries(history, self.broken, last)
        judge.check_queue(history, there.get("QUEUE", set()), self.broken)
        judge.check_registers(history, self.contents, self.broken)

    def compare_states(self):
        """What replicas say of themselves is equal, at rest."""
        states = {}
        self.streams = {node.number: node.streams() or {} for node in self.cluster.nodes.values()}
        for number, streams in self.streams.items():
            for stream, detail in streams.items():
                s = detail["state"]
                mine = (s.get("messages"), s.get("first_seq"), s.get("last_seq"))
                floors = sorted(
                    (c["name"], (c.get("ack_floor") or {}).get("stream_seq"), c.get("num_ack_pending"))
                    for c in detail.get("consumer_detail") or []
                )
                states.setdefault(stream, {})[number] = (mine, tuple(floors))
        self.states = states
        for stream, per in states.items():
            if len(set(m for m, _ in per.values())) > 1:
                self.broken("states-differ", "%s: %s" % (stream, {n: m for n, (m, _) in per.items()}))
            # Followers may list no consumers: what they list has to agree.
            if len(set(c for _, c in per.values() if c)) > 1:
                self.broken("consumers-differ", "%s: %s" % (stream, {n: c for n, (_, c) in per.items()}))

    def go(self):
        self.cluster.up(self.folder)
        self.cluster.create()
        self.start_load()
        fault = faults.Faults(self.cluster)
        end = time.monotonic() + self.options.seconds
        for step in self.planned():
            if time.monotonic() > end and not self.options.plan:
                break
            if self.load.poll() is not None:
                self.broken("harness", "the load ended with %s" % self.load.returncode)
                break
            if self.options.stop_at_first and self.violations:
                break
            self.step(fault, step)
        self.final()

    def planned(self):
        if self.options.plan:
            with open(self.options.plan) as f:
                return [json.loads(line) for line in f if line.strip() and not line.startswith("#")]
        return faults.plan(self.options.seed, self.options.faults, self.options.nodes)

    def close(self):
        if self.load and self.load.poll() is None:
            self.load.kill()
            self.load.wait()
        self.keep()
        self.cluster.down()
        if not self.options.keep:
            for n in self.cluster.nodes.values():
                shutil.rmtree(n.disk, ignore_errors=True)
            for name in os.listdir(self.folder):
                if name.endswith(".img"):
                    os.unlink(os.path.join(self.folder, name))
        if not self.violations and not self.options.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self):
        """The evidence: plan, report, history and logs, beside the stores if wanted."""
        with open(self.folder + "/plan.jsonl", "w") as f:
            for s in self.steps:
                f.write(json.dumps(s["plan"]) + "\n")
        text = json.dumps(dict(self.summary, violations=self.violations), indent=1)
        with open(self.folder + "/report.json", "w") as f:
            f.write(text)
        if self.options.json:
            with open(self.options.json, "w") as f:
                f.write(text)
        if self.violations and not self.options.folder:
            kept = "%s-%s-seed%d" % (self.folder, time.strftime("%H%M%S"), self.options.seed)
            shutil.copytree(self.folder, kept, ignore=shutil.ignore_patterns("disk*"))
            if self.options.keep:
                for n in self.cluster.nodes.values():
                    n.kill()
                    shutil.copytree(n.disk, "%s/disk%d" % (kept, n.number), ignore=shutil.ignore_patterns("filler"))
            print("history, logs and plan: " + kept)


def parse(argv):
    p = argparse.ArgumentParser(prog="tools/chaos", description=__doc__.split("\n")[0])
    p.add_argument("--nodes", type=int, default=3)
    p.add_argument("--seconds", type=float, default=120, help="no new fault after this long")
    p.add_argument("--plan", help="steps of an earlier run (plan.jsonl) instead of drawn ones")
    p.add_argument("--faults", default="kill,pause,partition", help="of %s, or all" % ",".join(faults.KINDS))
    p.add_argument("--binary", help="weir-broker (default: the newest of build/*/bin)")
    p.add_argument("--next", help="another version: rolling restarts change nodes to it, and back")
    p.add_argument("--peer", help="a nats-server binary instead")
    p.add_argument("--peer-sync", help="its sync_interval, e.g. always")
    p.add_argument("--load", help="weir-chaos-load (default: the newest of build/*/bin)")
    p.add_argument("--rate", type=int, default=1000, help="publishes per second, all streams together")
    p.add_argument("--seed", type=int, default=int(time.time()) % 1000000)
    p.add_argument("--folder", help="for this run's files (default: below %s)" % network.RUNS)
    p.add_argument("--json", help="writes the report there, too")
    p.add_argument("--keep", action="store_true", help="keeps everything, stores included")
    p.add_argument("--stop-at-first", action="store_true", help="no more faults after a violation")
    p.add_argument("--no-read-each", dest="read_each", action="store_false", help="read replicas at the end only")
    p.add_argument("--clean", action="store_true", help="removes what runs left behind that were cut short")
    o = p.parse_args(argv)
    o.faults = list(faults.KINDS) if o.faults == "all" else o.faults.split(",")
    for kind in o.faults:
        if kind not in faults.KINDS:
            p.error("no such fault: " + kind)
    o.program = os.path.abspath(o.peer or o.binary) if (o.peer or o.binary) else None
    o.next = os.path.abspath(o.next) if o.next else None
    if o.plan:
        with open(o.plan) as f:
            o.faults = sorted({json.loads(line)["kind"] for line in f if line.startswith("{")})
    return o


def main():
    options = parse(sys.argv[1:])
    if options.clean:
        print("cleaned slots: %s" % network.clean())
        return 0
    why = network.why_not()
    if why:
        print("SKIPPED: " + why)
        return 77
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    run = Run(options)
    print("seed %d, %d nodes, faults %s, %s" % (options.seed, options.nodes, ",".join(options.faults), options.program))
    try:
        run.go()
    except WireError as e:
        run.broken("harness", "no answer: %s at %s" % (e, traceback.extract_tb(e.__traceback__)[-7:-3]))
    finally:
        run.close()
    report.table(run)
    return 1 if run.violations else 0


if __name__ == "__main__":
    sys.exit(main())
