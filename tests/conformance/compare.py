"""The same requests to weir-broker and to a nats-server: prints where the replies differ.

The peer is $WEIR_PEER, or nats-server on PATH. Times, names and versions are taken out first. A tool for
people, not a test: the versions of the two need not match. Exit code 0 = no difference.
"""

import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from broker import Broker, Wire, skip  # noqa: E402

VOLATILE = {
    "created",
    "ts",
    "first_ts",
    "last_ts",
    "last_active",
    "time",
    "metadata",
    "level",
    "server_id",
    "leader",
    "expires",
}

S = {"name": "S", "subjects": ["s.>"]}
C = {"stream_name": "S", "config": {"durable_name": "C", "ack_policy": "explicit"}}


def consumer(**config):
    return {"stream_name": "S", "config": dict({"durable_name": "D", "ack_policy": "explicit"}, **config)}


def stream(**more):
    return dict({"name": "X", "subjects": ["x.>"]}, **more)


# ("api", subject, body) | ("pub", subject, payload, headers) | ("raw", subject, payload) | ("drop", stream)
STEPS = [
    ("api", "INFO", None),
    ("api", "STREAM.NAMES", None),
    ("api", "STREAM.LIST", {"offset": 5}),
    ("api", "STREAM.CREATE.S", S),
    ("api", "STREAM.CREATE.S", S),
    ("api", "STREAM.CREATE.T", S),
    ("api", "STREAM.CREATE.S", dict(S, max_msgs=5)),
    ("api", "STREAM.CREATE.Y", {"name": "Y", "subjects": ["s.x"]}),
    ("pub", "s.a", b"1", {}),
    ("pub", "s.b", b"2", {"Nats-Msg-Id": "i"}),
    ("pub", "s.b", b"2", {"Nats-Msg-Id": "i"}),
    ("pub", "s.c", b"3", {"Nats-Expected-Last-Sequence": "9"}),
    ("pub", "s.c", b"3", {"Nats-Expected-Stream": "Q"}),
    ("pub", "s.c", b"3", {"Nats-Expected-Last-Msg-Id": "q"}),
    ("pub", "s.c", b"3", {"Nats-Expected-Last-Subject-Sequence": "4"}),
    ("pub", "s.c", b"3", {"Nats-Expected-Last-Sequence": "x"}),
    ("pub", "s.c", b"3", {"Nats-Rollup": "all"}),
    ("pub", "s.c", b"3", {"Nats-Expected-Last-Sequence": "2"}),
    ("api", "STREAM.INFO.S", None),
    ("api", "STREAM.INFO.S", {"deleted_details": True, "subjects_filter": ">"}),
    ("api", "STREAM.INFO.S", {"subjects_filter": "s.a"}),
    ("api", "STREAM.INFO.NONE", None),
    ("api", "STREAM.MSG.GET.S", {"seq": 1}),
    ("api", "STREAM.MSG.GET.S", {"seq": 2}),
    ("api", "STREAM.MSG.GET.S", {"seq": 99}),
    ("api", "STREAM.MSG.GET.S", {"last_by_subj": "s.*"}),
    ("api", "STREAM.MSG.GET.S", {"seq": 2, "next_by_subj": "s.c"}),
    ("api", "STREAM.MSG.GET.S", {}),
    ("api", "STREAM.MSG.GET.S", None),
    ("api", "STREAM.MSG.GET.S", {"seq": 1, "last_by_subj": "s.a"}),
    ("api", "STREAM.MSG.DELETE.S", {"seq": 2}),
    ("api", "STREAM.MSG.DELETE.S", {"seq": 2}),
    ("api", "STREAM.MSG.DELETE.S", None),
    ("api", "STREAM.INFO.S", {"deleted_details": True}),
    ("api", "STREAM.UPDATE.S", dict(S, max_msgs=100, description="d")),
    ("api", "STREAM.UPDATE.S", dict(S, storage="memory")),
    ("api", "STREAM.UPDATE.S", dict(S, retention="workqueue")),
    ("api", "STREAM.UPDATE.NONE", dict(S, name="NONE")),
    ("api", "STREAM.UPDATE.S", dict(S, num_replicas=3)),
    ("api", "STREAM.UPDATE.S", {"name": "Z"}),
    ("api", "CONSUMER.DURABLE.CREATE.S.C", C),
    ("api", "CONSUMER.DURABLE.CREATE.S.C", C),
    ("api", "CONSUMER.INFO.S.C", None),
    ("api", "CONSUMER.INFO.S.NONE", None),
    ("api", "CONSUMER.NAMES.S", None),
    ("api", "CONSUMER.LIST.S", None),
    ("api", "CONSUMER.NAMES.NONE", None),
    ("api", "CONSUMER.DURABLE.CREATE.S.C", dict(C, config=dict(C["config"], ack_policy="none"))),
    ("api", "CONSUMER.DURABLE.CREATE.S.C", dict(C, config=dict(C["config"], description="d"))),
    ("api", "CONSUMER.DURABLE.CREATE.S.Q", C),
    ("api", "CONSUMER.DURABLE.CREATE.NONE.C", dict(C, stream_name="NONE")),
    *[
        ("api", "CONSUMER.DURABLE.CREATE.S.D", consumer(**c))
        for c in (
            {"deliver_policy": "by_start_sequence"},
            {"deliver_policy": "by_start_time"},
            {"opt_start_seq": 5},
            {"filter_subject": "zzz"},
            {"filter_subject": "s.a", "filter_subjects": ["s.b"]},
            {"filter_subjects": ["s.*", "s.a"]},
            {"backoff": [1000000000], "max_deliver": 1},
            {"deliver_subject": "s.x"},
            {"deliver_subject": "a b"},
            {"deliver_subject": "d", "max_waiting": 5},
            {"ack_wait": -1},
            {"max_deliver": 0},
            {"max_ack_pending": 5, "ack_policy": "none"},
            {"rate_limit_bps": 5},
            {"deliver_group": "g"},
            {"idle_heartbeat": 1000000000},
            {"flow_control": True, "deliver_subject": "d"},
            {"idle_heartbeat": 1000, "deliver_subject": "d"},
            {"sample_freq": "x"},
            {"sample_freq": "30%"},
            {"durable_name": "E"},
            {"inactive_threshold": -1},
            {"num_replicas": 3},
            {"headers_only": True},
            {"replay_policy": "original"},
            {"max_batch": 5},
            {"mem_storage": True},
            {"deliver_policy": "last_per_subject"},
        )
    ],
    ("api", "CONSUMER.DELETE.S.D", None),
    ("api", "CONSUMER.DELETE.S.D", None),
    ("raw", "$JS.API.CONSUMER.MSG.NEXT.S.C", b'{"batch":1,"no_wait":true}'),
    ("api", "CONSUMER.INFO.S.C", None),
    ("raw", "$JS.API.CONSUMER.MSG.NEXT.S.C", b'{"batch":9,"no_wait":true,"max_bytes":1}'),
    ("raw", "$JS.API.CONSUMER.MSG.NEXT.S.C", b'{"expires":100000000,"idle_heartbeat":99000000}'),
    ("raw", "$JS.API.CONSUMER.MSG.NEXT.S.NONE", b""),
    ("raw", "$JS.API.CONSUMER.MSG.NEXT.S.C", b"{bad"),
    ("api", "STREAM.UPDATE.S", dict(S, allow_direct=True)),
    ("raw", "$JS.API.DIRECT.GET.S", b'{"seq":1}'),
    ("raw", "$JS.API.DIRECT.GET.S", b'{"seq":2}'),
    ("raw", "$JS.API.DIRECT.GET.S", b""),
    ("raw", "$JS.API.DIRECT.GET.S", b"{bad"),
    ("raw", "$JS.API.DIRECT.GET.S.s.c", b""),
    ("raw", "$JS.API.DIRECT.GET.S.none", b""),
    ("raw", "$JS.API.DIRECT.GET.S", b'{"last_by_subj":"s.c"}'),
    ("raw", "$JS.API.DIRECT.GET.S", b'{"next_by_subj":"s.c"}'),
    ("api", "STREAM.PURGE.S", {"filter": "s.a", "keep": 1, "seq": 3}),
    ("api", "STREAM.PURGE.S", {"keep": 1}),
    ("api", "STREAM.PURGE.S", None),
    ("api", "STREAM.PURGE.NONE", None),
    ("api", "STREAM.INFO.S", None),
    ("pub", "nobody.listens", b"", {}),
    *[
        step
        for c in (
            {},
            {"storage": "memory"},
            {"max_msgs": 0},
            {"max_msgs": -5},
            {"max_age": 50000000},
            {"max_age": -1},
            {"duplicate_window": -1},
            {"max_age": 1000000000, "duplicate_window": 5000000000},
            {"discard": "new"},
            {"discard_new_per_subject": True},
            {"num_replicas": 2},
            {"num_replicas": 7},
            {"num_replicas": -1},
            {"subjects": []},
            {"subjects": [""]},
            {"subjects": ["a b"]},
            {"subjects": ["x", "x"]},
            {"subjects": ["x.*", "x.y"]},
            {"subjects": [">"]},
            {"subjects": ["$JS.>"]},
            {"subjects": ["$SYS.x"]},
            {"no_ack": True, "subjects": [">"]},
            {"name": "a.b"},
            {"name": ""},
            {"name": "n" * 256},
            {"description": "d" * 5000},
            {"metadata": {"k": "v"}},
            {"sealed": True},
            {"deny_delete": True},
            {"deny_purge": True, "allow_rollup_hdrs": True},
            {"allow_rollup_hdrs": True},
            {"max_msg_size": 10},
            {"max_msg_size": -2},
            {"max_consumers": 1},
            {"retention": "limits"},
            {"first_seq": 100},
            {"compression": "none"},
            {"template_owner": "t"},
            {"no_such_field": 1},
            {"max_msgs_per_subject": 1, "discard": "new", "discard_new_per_subject": True, "max_msgs": 5},
        )
        for step in (
            ("api", "STREAM.CREATE.X", stream(**c)),
            ("pub", "x.y", b"123456789012345", {}),
            ("drop", "X"),
        )
    ],
    ("api", "STREAM.DELETE.S", None),
    ("api", "STREAM.DELETE.S", None),
    ("api", "INFO", {"x": 1}),
    ("api", "STREAM.DELETE.S", {"x": 1}),
]


def normal(value):
    if isinstance(value, dict):
        return {k: normal(v) for k, v in value.items() if k not in VOLATILE}
    return [normal(v) for v in value] if isinstance(value, list) else value


def run(program):
    out = []
    with Broker(program=program) as broker, Wire(broker) as wire:
        wire.sock.settimeout(5)
        for step in STEPS:
            kind, subject = step[0], step[1]
            if kind == "drop":
                wire.api("STREAM.DELETE." + subject)
                continue
            try:
                if kind == "api":
                    out.append(normal(wire.api(subject, step[2])))
                    continue
                headers = b""
                if kind == "pub" and step[3]:
                    headers = (
                        b"NATS/1.0\r\n"
                        + b"".join(b"%s: %s\r\n" % (k.encode(), v.encode()) for k, v in step[3].items())
                        + b"\r\n"
                    )
                head, body = wire.request(subject, step[2], headers)
                lines = [h for h in head.decode().split("\r\n") if h and not h.startswith("Nats-Time-Stamp")]
                out.append([lines, normal(json.loads(body)) if body.startswith(b"{") else body.decode()])
            except (TimeoutError, EOFError, json.JSONDecodeError) as e:
                out.append(repr(e))
                wire.close()
                wire.__init__(broker)
                wire.sock.settimeout(5)
    return out


def differences(a, b, at=""):
    if isinstance(a, dict) and isinstance(b, dict):
        for k in sorted(a.keys() | b.keys()):
            yield from differences(a.get(k), b.get(k), at + "." + k)
    elif a != b:
        yield "%s: weir %s, peer %s" % (at or "reply", json.dumps(a)[:300], json.dumps(b)[:300])


def main():
    peer = os.environ.get("WEIR_PEER") or shutil.which("nats-server")
    if not peer:
        skip("no nats-server to compare with: WEIR_PEER is not set and none is on PATH")
    count = 0
    for step, ours, theirs in zip([s for s in STEPS if s[0] != "drop"], run(None), run(peer)):
        found = list(differences(ours, theirs))
        count += bool(found)
        if found:
            print("%s %s %s" % (step[0], step[1], json.dumps(step[2:], default=repr)[:160]))
            for line in found:
                print("    " + line)
    print("%d of %d replies differ" % (count, len([s for s in STEPS if s[0] != "drop"])))
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
