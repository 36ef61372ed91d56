#!/usr/bin/env python3
"""What a guide to JetStream on Kubernetes has its readers do, on three nodes of the real binary.

Run by `tools/conformance guide` (ctest: guide), which gets the clients and names them: NATS_CLI, GUIDE_GO (a go
program), GUIDE_JS (a folder with nats.js), this interpreter with nats-py. What is missing is skipped with a reason,
and the run then ends with 77, so that nobody takes it for complete. WEIR_BROKER and WEIR_SURVEYOR name the programs.
"""

import asyncio
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))
from three_nodes import ThreeNodes, free_ports, until  # noqa: E402
from broker import SKIPPED, Wire, binary  # noqa: E402  (three_nodes knows where)

try:
    import nats as nats_py
except ImportError:
    nats_py = None

CLI = os.environ.get("NATS_CLI") or shutil.which("nats")
GO = os.environ.get("GUIDE_GO")
JS = os.environ.get("GUIDE_JS")
SURVEYOR = os.environ.get("WEIR_SURVEYOR") or str(pathlib.Path(binary()).with_name("weir-surveyor"))
NAMES = {"nats-0", "nats-1", "nats-2"}
WEEK = 7 * 24 * 3600 * 10**9
EVENTS = {"name": "EVENTS", "subjects": ["events.>"], "storage": "file", "num_replicas": 3, "max_age": WEEK}
# The guide's options of `nats stream add`; --defaults answers what it leaves to a dialogue.
ADD_EVENTS = (
    "stream add EVENTS --subjects events.> --storage file --replicas 3 --retention limits --max-msgs=-1"
    " --max-bytes=-1 --max-age=168h --max-msg-size=-1 --discard old --defaults"
).split()
ADD_CONSUMER = (
    "consumer add EVENTS consumer1 --filter events.orders.> --ack explicit --pull --deliver all --max-deliver 3"
    " --wait 30s --defaults"
).split()


class OnThreeNodes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = ThreeNodes()
        cls.addClassCleanup(cls.cluster.stop)
        cls.home = tempfile.mkdtemp(prefix="weir-guide-")
        cls.addClassCleanup(shutil.rmtree, cls.home, True)
        cls.cluster.start()

    def setUp(self):
        self.cluster.delete_streams()

    def add(self, config=EVENTS):
        answer = self.cluster.api("STREAM.CREATE." + config["name"], config)
        self.assertNotIn("error", answer)

    def cli(self, *args):
        """What the stock CLI prints; it must succeed."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NATS_")}
        environment.update(HOME=self.home, XDG_CONFIG_HOME=self.home, NO_COLOR="1")
        done = subprocess.run(
            [CLI, "--server", self.cluster.urls, "--timeout", "20s", *args],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        out = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, "nats %s\n%s" % (" ".join(args), out))
        return out

    def program(self, command, folder, **more):
        """A test program in another language: it must succeed."""
        environment = dict(os.environ, GUIDE_URL=self.cluster.urls, **more)
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=400, env=environment
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def all_have(self, stream, count):
        """Every node stores the same `count` messages itself."""
        for node in self.cluster.nodes:
            until(
                "%s has %d messages of %s" % (node.name, count, stream),
                lambda n=node: (self.cluster.stored(n, stream) or {}).get("messages") == count,
            )


class Cluster(OnThreeNodes):
    def test_nodes_know_each_other(self):
        for node in self.cluster.nodes:
            page = node.page("/varz")
            self.assertEqual((page["server_name"], page["cluster"]["name"]), (node.name, "nats-cluster"))
            routes = node.page("/routez")["routes"]  # nats-server has several per neighbour
            self.assertEqual({r["remote_name"] for r in routes}, NAMES - {node.name})

    def test_kinds_of_streams(self):
        """File and memory, one replica and three, through any node."""
        for storage in ("file", "memory"):
            for count in (1, 3):
                name = "%s%d" % (storage.upper(), count)
                self.add(
                    {"name": name, "subjects": [name], "storage": storage, "num_replicas": count}
                )
                for i, node in enumerate(self.cluster.nodes):
                    with Wire(node) as w:
                        ack = json.loads(w.request(name, b"x")[1])
                        self.assertEqual((ack.get("stream"), ack.get("seq")), (name, i + 1), ack)

    def test_node_dies_and_comes_back(self):
        """kill -9 of the leader: what was acknowledged is there, ids are remembered, writing goes on."""
        self.add()
        self.cluster.wait_replicas("EVENTS")
        with self.cluster.wire() as w:
            for i in range(1, 51):
                head = b"NATS/1.0\r\nNats-Msg-Id: id-%d\r\n\r\n" % i
                ack = json.loads(w.request("events.n", b"body %d" % i, head)[1])
                self.assertEqual(ack.get("seq"), i, ack)
        leader = self.cluster.named(self.cluster.info("EVENTS")["cluster"]["leader"])
        leader.kill()
        self.addCleanup(lambda: leader.running() or leader.start())

        def published(number):
            with self.cluster.wire() as w:
                head = b"NATS/1.0\r\nNats-Msg-Id: id-%d\r\n\r\n" % number
                return json.loads(w.request("events.n", b"body %d" % number, head)[1] or b"{}")

        again = until("the other two take writes", lambda: (a := published(50)).get("seq") and a)
        self.assertEqual((again["seq"], again.get("duplicate")), (50, True))
        self.assertEqual(published(51)["seq"], 51)
        leader.start()
        self.cluster.wait_replicas("EVENTS")
        self.all_have("EVENTS", 51)
        with self.cluster.wire() as w:
            for i in range(1, 52):
                got = w.api("STREAM.MSG.GET.EVENTS", {"seq": i})
                self.assertIn("message", got)

    def test_wiped_node_comes_back_under_its_name(self):
        self.add()
        with self.cluster.wire() as w:
            for i in range(20):
                w.request("events.n", b"%d" % i)
        victim = self.cluster.nodes[2]
        victim.kill()
        victim.wipe()
        victim.start()
        self.cluster.wait_ready()
        self.assertEqual(set(self.cluster.wait_replicas("EVENTS")), NAMES)
        self.all_have("EVENTS", 20)


@unittest.skipUnless(CLI, "the nats CLI cannot be had (no NATS_CLI, none in PATH, no Go to install it)")
class CommandLine(OnThreeNodes):
    def test_stream_with_three_replicas(self):
        out = self.cli(*ADD_EVENTS)
        self.assertIn("Stream EVENTS was created", out)
        for text in ("Replicas: 3", "Storage: File", "Maximum Age: 7d", "Discard Policy: Old"):
            self.assertIn(text, out)
        for i in range(30):
            self.cli("pub", "--jetstream", "events.n", "body") if i < 3 else self._publish(i)
        self.assertEqual(set(self.cluster.wait_replicas("EVENTS")), NAMES)
        out = self.cli("stream", "info", "EVENTS")
        self.assertRegex(out, r"Name: nats-cluster\b")
        leader = re.search(r"Leader: (nats-\d)", out).group(1)
        followers = dict(re.findall(r"Replica: (nats-\d), (.*)", out))
        self.assertEqual(set(followers) | {leader}, NAMES)
        for state in followers.values():
            self.assertRegex(state, "^current")
            self.assertNotRegex(state, "behind|OFFLINE|not seen|outdated")
        for replica in json.loads(self.cli("stream", "info", "EVENTS", "--json"))["cluster"]["replicas"]:
            self.assertEqual(replica.get("lag", 0), 0)
            self.assertGreater(replica.get("active", 0), 0)
        self.all_have("EVENTS", 30)

    def _publish(self, i):
        with self.cluster.wire() as w:
            w.request("events.n", b"%d" % i)

    def test_stream_that_keeps_a_month(self):
        self.cli(
            *"stream add CRITICAL --subjects critical.> --storage file --replicas 3 --max-age 30d".split(),
            "--defaults",
        )
        config = json.loads(self.cli("stream", "info", "CRITICAL", "--json"))["config"]
        self.assertEqual((config["max_age"], config["num_replicas"]), (30 * WEEK // 7, 3))

    def test_pull_consumer(self):
        self.cli(*ADD_EVENTS)
        self.cli(*ADD_CONSUMER)
        self.cli("pub", "--jetstream", "events.orders.new", "one")
        self.cli("pub", "--jetstream", "events.users.new", "two")
        out = self.cli("consumer", "next", "EVENTS", "consumer1", "--ack")
        self.assertIn("events.orders.new", out)
        info = json.loads(self.cli("consumer", "info", "EVENTS", "consumer1", "--json"))
        config = info["config"]
        self.assertEqual(
            (config["filter_subject"], config["max_deliver"], config["ack_wait"], config["ack_policy"]),
            ("events.orders.>", 3, 30 * 10**9, "explicit"),
        )
        self.assertEqual(info["num_pending"], 0)
        self.assertEqual({info["cluster"]["leader"], *(r["name"] for r in info["cluster"]["replicas"])}, NAMES)

    def test_reports(self):
        self.cli(*ADD_EVENTS)
        self.assertIn("EVENTS", self.cli("stream", "report"))
        self.assertRegex(self.cli("stream", "ls"), r"EVENTS")
        out = self.cli("--user", "sys", "--password", "pass", "server", "report", "jetstream")
        for name in NAMES:
            self.assertIn(name, out)


@unittest.skipUnless(CLI, "the nats CLI cannot be had (no NATS_CLI, none in PATH, no Go to install it)")
class OperatorsCommands(OnThreeNodes):
    """What operators of a cluster type, as a user of the system account where the CLI asks for one."""

    def sys(self, *args):
        return self.cli("--user", "sys", "--password", "pass", *args)

    def leader(self, stream="EVENTS"):
        return self.cluster.info(stream)["cluster"]["leader"]

    def one_leader(self):
        return len({n.page("/jsz")["meta_cluster"].get("leader") for n in self.cluster.nodes} - {None}) == 1

    def test_leaders_step_down(self):
        self.cli(*ADD_EVENTS)
        self.cli(*ADD_CONSUMER)
        self.cluster.wait_replicas("EVENTS")
        for command in ("stream cluster step-down EVENTS", "consumer cluster step-down EVENTS consumer1"):
            before = self.leader()
            self.assertRegex(self.cli(*command.split()), r'New leader elected "nats-\d"')
            self.assertNotEqual(self.leader(), before)
        for command in ("server cluster step-down", "server raft step-down"):
            until("all know one leader", self.one_leader)
            self.assertRegex(self.sys(*command.split()), r'New leader elected "nats-\d"')

    def test_one_replica_steps_down_too(self):
        self.add({"name": "ONE", "subjects": ["one"], "num_replicas": 1})
        self.assertEqual(self.cluster.api("STREAM.LEADER.STEPDOWN.ONE").get("success"), True)
        answer = self.cluster.api("STREAM.LEADER.STEPDOWN.ONE", {"placement": {"preferred": "nats-9"}})
        self.assertEqual(answer.get("success"), True)

    def test_peer_remove(self):
        """Of a stream: there is no fourth node. Of the cluster: a node that is gone for good; a start brings it
        back as a new one."""
        self.cli(*ADD_EVENTS)
        self.cluster.wait_replicas("EVENTS")
        answer = self.cluster.api("STREAM.PEER.REMOVE.EVENTS", {"peer": "nats-1"})
        self.assertEqual(answer["error"]["err_code"], 10075)
        gone = self.cluster.nodes[2]
        gone.stop()
        self.addCleanup(lambda: gone.running() or gone.start())
        until(
            "a leader among the others",
            lambda: self.cluster.nodes[0].page("/jsz")["meta_cluster"].get("leader") in NAMES - {gone.name},
        )
        self.sys("server", "cluster", "peer-remove", gone.name, "--force")
        until(gone.name + " is gone", lambda: gone.name not in self.sys("server", "report", "jetstream"))
        gone.start()
        self.cluster.wait_ready()
        self.assertEqual(set(self.cluster.wait_replicas("EVENTS")), NAMES)

    def test_replicas_change(self):
        """Down to one and at once back to three: nothing is lost, and writing goes on."""
        self.cli(*ADD_EVENTS)
        for i in range(10):
            self.cli("pub", "--jetstream", "events.n", "%d" % i)
        for count in ("1", "3", "1", "3"):
            self.assertIn("was updated", self.cli("stream", "edit", "EVENTS", "--replicas", count, "--force"))
            self.cli("pub", "--jetstream", "events.n", "more")
        self.assertEqual(set(self.cluster.wait_replicas("EVENTS")), NAMES)
        self.all_have("EVENTS", 14)

    def test_traffic(self):
        """`nats traffic` counts subjects of nats-server's Raft; the system account sees ours under the same."""
        self.add()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NATS_")}
        environment.update(HOME=self.home, XDG_CONFIG_HOME=self.home, NO_COLOR="1")
        command = [CLI, "--server", self.cluster.urls, "--user", "sys", "--password", "pass", "traffic"]
        out = tempfile.NamedTemporaryFile(dir=self.home)
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def shown():
            with self.cluster.wire() as w:
                w.request("events.n", b"x")
            return "Raft Traffic" in pathlib.Path(out.name).read_text()

        until("Raft traffic is shown", shown)

    def test_server_reports(self):
        self.cli(*ADD_EVENTS)
        self.cli("pub", "--jetstream", "events.n", "x")
        for what in "jetstream connections accounts health routes gateways leafnodes cpu mem".split():
            out = self.sys("server", "report", what)
            if what not in ("connections", "accounts", "leafnodes"):  # these show what has a connection
                for name in NAMES:
                    self.assertIn(name, out, what)
        self.assertRegex(self.sys("server", "report", "health"), r"ok: 3 / err: 0")
        for name in NAMES:
            self.assertRegex(self.sys("server", "ls"), name)
            self.assertRegex(self.sys("server", "ping"), name + r"\s+rtt=")
            self.assertIn("Server information for " + name, self.sys("server", "info", name))

    def test_server_checks(self):
        self.cli(*ADD_EVENTS)
        self.cluster.wait_replicas("EVENTS")
        self.sys("server", "check", "meta", "--expect", "3", "--lag-critical", "10", "--seen-critical", "5s")
        self.sys("server", "check", "connection")
        self.sys("server", "check", "server", "--name", "nats-1", "--js-required")
        self.cli("server", "check", "jetstream", "--replicas")
        self.cli(
            *"server check stream --stream EVENTS --peer-expect 3 --peer-lag-critical 10".split(),
            "--peer-seen-critical=10s",
        )

    def test_server_requests(self):
        self.add()
        for what in (
            "variables,connections,routes,accounts,subscriptions,gateways,leafnodes,jetstream,jetstream-health,raft"
        ).split(","):
            lines = [json.loads(x) for x in self.sys("server", "request", what).splitlines() if x.startswith("{")]
            self.assertEqual({x["server"]["name"] for x in lines}, NAMES, what)
            self.assertTrue(all(x["data"] for x in lines), what)
        queues = self.sys("server", "request", "ipqueue", "--all")
        self.assertEqual(queues.count('"JetStream API queue"'), 3)
        self.assertEqual(self.sys("server", "request", "profile", "allocs").count("not found"), 3)

    def test_accounts(self):
        self.add()
        out = self.sys("server", "account", "info", "APP")
        self.assertRegex(out, r"JetStream: true")
        self.assertRegex(self.sys("server", "request", "accounts", "--account", "APP"), '"account_detail"')
        self.assertRegex(self.cli("account", "info"), r"Streams: 1 of Unlimited")
        # Without the system account, of the own account only.
        self.assertRegex(self.cli("account", "report", "connections"), r"APP\b")
        self.assertRegex(self.cli("account", "report", "statistics"), r"nats-cluster\b")


class Programs(OnThreeNodes):
    @unittest.skipUnless(nats_py, "nats-py cannot be had")
    def test_python_publishes(self):
        self.add()

        async def run():
            client = nats_py.aio.client.Client()
            await client.connect(servers=self.cluster.urls.split(","))
            try:
                ack = await client.jetstream().publish("events.user.signup", b'{"user": 7}', timeout=20)
                return ack.seq, ack.stream
            finally:
                await client.close()

        self.assertEqual(asyncio.run(run()), (1, "EVENTS"))

    @unittest.skipUnless(GO, "no Go of 1.21 or newer, or nats.go cannot be downloaded")
    def test_go_programs(self):
        self.program([GO, "test", "-count=1", "./..."], HERE / "go")

    @unittest.skipUnless(JS, "no node of 18 or newer, or nats.js cannot be installed")
    def test_js_programs(self):
        # Modules are looked up beside the file.
        shutil.copy(HERE / "js/guide.test.mjs", JS)
        self.program(["node", "--test", "guide.test.mjs"], JS)


@unittest.skipUnless(os.access(SURVEYOR, os.X_OK), "no weir-surveyor beside weir-broker")
class Monitoring(OnThreeNodes):
    def surveyor(self, *flags):
        """Starts one; the address of its page."""
        (port,) = free_ports(1)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NATS_")}
        log = open(pathlib.Path(self.home) / ("surveyor-%d.log" % port), "w")
        self.addCleanup(log.close)
        process = subprocess.Popen(
            [SURVEYOR, *flags, "-a", "127.0.0.1", "-p", str(port), "--poll-interval", "1s"],
            stdout=log,
            stderr=log,
            env=environment,
        )

        def end():
            process.send_signal(signal.SIGTERM)
            process.wait(30)

        self.addCleanup(end)
        return "http://127.0.0.1:%d/metrics" % port

    @staticmethod
    def metrics(url):
        """{name{labels}: value}."""
        with urllib.request.urlopen(url, timeout=10) as r:
            lines = r.read().decode().splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))

    def test_surveyor_sees_all_of_it(self):
        self.add()
        self.cluster.api(
            "CONSUMER.DURABLE.CREATE.EVENTS.worker",
            {"stream_name": "EVENTS", "config": {"durable_name": "worker", "ack_policy": "explicit"}},
        )
        with self.cluster.wire() as w:
            for i in range(25):
                w.request("events.n", b"x")
        url = self.surveyor("-s", self.cluster.urls, "--user", "sys", "--password", "pass", "--count", "3")

        def value(found, name, *labels):
            for series, v in found.items():
                if series.split("{")[0] == name and all(x in series for x in labels):
                    return float(v)
            return None

        def complete():
            m = self.metrics(url)
            stream = 'stream="EVENTS"'
            seen = {
                "servers": value(m, "nats_survey_surveyed_count"),
                "messages": value(m, "nats_jetstream_stream_messages", stream),
                "replicas": value(m, "nats_jetstream_stream_replicas_current", stream),
                "lag": value(m, "nats_jetstream_stream_lag", stream, 'kind="replica"'),
                "behind": value(m, "nats_jetstream_stream_lag", stream, 'kind="consumer"'),
                "pending": value(m, "nats_jetstream_consumer_ack_pending", stream, 'consumer="worker"'),
            }
            complete.seen = seen
            return seen == {"servers": 3, "messages": 25, "replicas": 3, "lag": 0, "behind": 25, "pending": 0}

        try:
            until("the surveyor shows the cluster", complete)
        except TimeoutError:
            self.fail("the surveyor shows %s" % complete.seen)

    def test_flags_of_the_guide(self):
        """-s and -creds, spelled so. A user without a system account sees nothing, and the page says so."""
        creds = pathlib.Path(self.home) / "creds"
        creds.write_text(
            "-----BEGIN NATS USER JWT-----\ne30.e30.AA\n------END NATS USER JWT------\n\n"
            "-----BEGIN USER NKEY SEED-----\nSUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n"
            "------END USER NKEY SEED------\n"
        )
        url = self.surveyor("-s", self.cluster.nodes[0].url, "-creds", str(creds))
        until("it is connected", lambda: self.metrics(url).get("nats_up") == "1")

    def test_alerts(self):
        """The two alerts of the guide have their names in our rules, and read metrics that exist."""
        rules = ROOT / "alerts/weir.rules.yml"
        for name in ("JetStreamStreamLagging", "JetStreamConsumerNotAcking"):
            self.assertRegex(rules.read_text(), r"alert: %s\b" % name)
        promtool = shutil.which("promtool")
        if not promtool:
            self.skipTest("no promtool (Debian: prometheus)")
        done = subprocess.run([promtool, "check", "rules", str(rules)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        # As an operator's PrometheusRule, and with the guide's own expressions.
        own = pathlib.Path(self.home) / "own.yml"
        own.write_text(
            "groups:\n- name: mine\n  rules:\n"
            "  - {alert: Lag, expr: nats_jetstream_stream_lag > 10000, for: 10m}\n"
            "  - {alert: Acks, expr: 'rate(nats_jetstream_consumer_ack_pending[5m]) > 100', for: 10m}\n"
        )
        self.assertEqual(subprocess.run([promtool, "check", "rules", str(own)], capture_output=True).returncode, 0)


if __name__ == "__main__":
    print("broker %s" % binary(), flush=True)
    outcome = unittest.main(verbosity=2, exit=False).result
    if not outcome.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if outcome.skipped else 0)
