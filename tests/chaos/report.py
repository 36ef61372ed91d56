"""What a run found, as a table for people and as JSON."""

import collections

KEYS = ("first_ack", "all_nodes_ack", "silence", "current")


def line(number, step):
    current = "%.1f s" % step["current"] if step["current"] is not None else "NOT"
    notes = ("  [" + "; ".join(step["notes"]) + "]") if step["notes"] else ""
    print("%4d %-9s current after %7s  %s%s" % (number, step["kind"], current, step["what"], notes), flush=True)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(p * len(values)))] if values else None


def spread(steps, key):
    values = [s[key] for s in steps if s.get(key) is not None]
    never = sum(1 for s in steps if s.get(key) is None)
    return {
        "p50": percentile(values, 0.5),
        "p95": percentile(values, 0.95),
        "max": max(values) if values else None,
        "never": never,
    }


def summary(run, history, there):
    kinds = collections.OrderedDict()
    for step in run.steps:
        kinds.setdefault(step["kind"], []).append(step)
    acked = collections.Counter(stream for stream, _ in {(p.stream, p.id) for p in history.acks})
    return {
        "seed": run.options.seed,
        "program": run.options.program,
        "peer_sync": run.options.peer_sync,
        "nodes": run.options.nodes,
        "faults": {
            k: dict({key: spread(s, key) for key in KEYS}, count=len(s), manual=sum(x["manual"] for x in s))
            for k, s in kinds.items()
        },
        "acknowledged": dict(acked),
        "stored": {s: len(seqs) for s, seqs in there.items()},
        "delivered": {s: len(d) for s, d in history.deliveries.items()},
        "confirmed": {s: len(c) for s, c in history.confirmed.items()},
        "registers": {
            "writes": len(history.writes),
            "written": sum(w.result == "ok" for w in history.writes),
            "unknown": sum(w.result == "unknown" for w in history.writes),
            "reads": len(history.reads),
        },
        "client_errors": dict(history.errors.most_common()),
        "steps": [{k: v for k, v in s.items() if k != "plan"} for s in run.steps],
    }


def cell(v):
    return "%7.2f" % v if v is not None else "      -"


def table(run):
    s = run.summary
    if s:
        print("\n%-10s %5s %6s  %-23s  %-23s  %-23s  %-23s" % (
            "fault", "count", "manual", "first R3 ack after heal", "ack through every node",
            "longest silence", "all replicas current"))
        print("%-10s %5s %6s " % ("", "", "") + 4 * (" %7s %7s %7s " % ("p50", "p95", "max")))
        for kind, f in s["faults"].items():
            cells = "".join(" " + " ".join(cell(f[k][p]) for p in ("p50", "p95", "max")) + " " for k in KEYS)
            print("%-10s %5d %6d " % (kind, f["count"], f["manual"]) + cells)
        print("\nacknowledged %s, stored %s" % (s["acknowledged"], s["stored"]))
        print("delivered %s, confirmed %s" % (s["delivered"], s["confirmed"]))
        print("registers %s" % s["registers"])
        errors = ", ".join("%s %d" % e for e in list(s["client_errors"].items())[:12])
        print("client errors: " + (errors or "none"))
    stalled = sum(s for _, s in run.stalls.seen)
    if stalled > 1:
        print("this machine was too busy: it stood still for %.1f s in all" % stalled)
    count = collections.Counter(v["rule"] for v in run.violations)
    print("%d faults, %d violations%s" % (
        len(run.steps), len(run.violations), "".join(", %s %d" % c for c in count.items())))
