"""The stock `nats` CLI ($NATS_CLI) against the broker: what people type, and what they then see."""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, __file__.rsplit("/cli/", 1)[0] + "/lib")
from broker import Broker, skip  # noqa: E402

CLI = os.environ.get("NATS_CLI", "nats")
ACCOUNTS = """
accounts {
  APP: { users: [ {user: app, password: p} ], jetstream: enabled }
  $SYS: { users: [ {user: sys, password: p} ] }
}
no_auth_user: app
"""


class Cli(unittest.TestCase):
    def setUp(self):
        self.broker = Broker(ACCOUNTS, monitor=True).start()
        self.addCleanup(self.broker.__exit__)
        self.home = tempfile.TemporaryDirectory(prefix="weir-test-")
        self.addCleanup(self.home.cleanup)

    def nats(self, *args, user=None, fails=False, stdin=None):
        """Output of both kinds. The CLI must succeed, or fail if `fails`."""
        login = ["--user", user, "--password", "p"] if user else []
        environment = dict(os.environ, HOME=self.home.name, XDG_CONFIG_HOME=self.home.name, NO_COLOR="1")
        for name in list(environment):
            if name.startswith("NATS_"):
                del environment[name]
        done = subprocess.run(
            [CLI, "--server", self.broker.url, "--timeout", "10s", *login, *args],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
            input=stdin or "",
        )
        out = done.stdout + done.stderr
        self.assertEqual(done.returncode != 0, fails, "nats %s\n%s" % (" ".join(args), out))
        return out

    def json(self, *args, **more):
        out = self.nats(*args, "--json", **more)
        return json.loads(out[min(i for i in (out.find("{"), out.find("[")) if i >= 0) :])

    def add_events(self, *more):
        return self.nats(
            "stream",
            "add",
            "EVENTS",
            "--subjects",
            "events.>",
            "--storage",
            "file",
            "--replicas",
            "1",
            "--retention",
            "limits",
            "--max-msgs=-1",
            "--max-bytes=-1",
            "--max-age=168h",
            "--max-msg-size=-1",
            "--discard",
            "old",
            "--defaults",
            *more,
        )

    def test_streams(self):
        out = self.add_events()
        self.assertIn("Stream EVENTS was created", out)
        self.assertIn("Maximum Age: 7d", out)
        for i in range(3):
            out = self.nats("pub", "--jetstream", "events.x", "body %d" % i)
            self.assertRegex(out, r"Stored in Stream: EVENTS Sequence: %d" % (i + 1))
        info = self.json("stream", "info", "EVENTS")
        self.assertEqual(info["state"]["messages"], 3)
        self.assertEqual(info["config"]["max_age"], 7 * 24 * 3600 * 10**9)
        self.assertIn("Messages: 3", self.nats("stream", "info", "EVENTS"))
        self.assertRegex(self.nats("stream", "ls"), r"EVENTS\b.*\b3\b")
        self.assertEqual(self.json("stream", "ls"), ["EVENTS"])
        self.assertIn("body 1", self.nats("stream", "get", "EVENTS", "2"))
        self.assertIn("body 2", self.nats("stream", "get", "EVENTS", "--last-for", "events.x"))
        self.assertIn("events.x", self.nats("stream", "subjects", "EVENTS"))
        self.nats("stream", "rmm", "EVENTS", "2", "--force")
        self.nats("stream", "get", "EVENTS", "2", fails=True)
        self.nats("stream", "edit", "EVENTS", "--max-msgs=1", "--force")
        self.assertEqual(self.json("stream", "info", "EVENTS")["state"]["messages"], 1)
        self.nats("stream", "purge", "EVENTS", "--force")
        self.assertEqual(self.json("stream", "state", "EVENTS")["state"]["messages"], 0)
        self.assertIn("EVENTS", self.nats("stream", "report"))
        self.nats("stream", "rm", "EVENTS", "--force")
        self.assertIn("No Streams defined", self.nats("stream", "ls"))
        self.nats("stream", "info", "EVENTS", fails=True)

    def test_errors_are_shown(self):
        self.add_events()
        out = self.nats("stream", "add", "OTHER", "--subjects", "events.y", "--defaults", fails=True)
        self.assertIn("subjects overlap with an existing stream", out)
        out = self.nats(
            "stream", "add", "R3", "--subjects", "r3", "--replicas", "3", "--defaults", fails=True
        )
        self.assertIn("replicas > 1 not supported in non-clustered mode", out)

    def test_consumers(self):
        self.add_events()
        for i in range(5):
            self.nats("pub", "--jetstream", "events.orders.%d" % i, str(i))
        out = self.nats(
            "consumer",
            "add",
            "EVENTS",
            "consumer1",
            "--filter",
            "events.orders.>",
            "--ack",
            "explicit",
            "--pull",
            "--deliver",
            "all",
            "--max-deliver",
            "3",
            "--wait",
            "30s",
            "--defaults",
        )
        self.assertIn("consumer1", out)
        self.assertRegex(out, r"Maximum Deliveries: 3")
        out = self.nats("consumer", "next", "EVENTS", "consumer1", "--count", "2")
        self.assertIn("subj: events.orders.0", out)
        self.assertIn("Acknowledged message", out)
        info = self.json("consumer", "info", "EVENTS", "consumer1")
        self.assertEqual((info["num_pending"], info["ack_floor"]["stream_seq"]), (3, 2))
        self.assertIn("consumer1", self.nats("consumer", "ls", "EVENTS"))
        self.assertIn("consumer1", self.nats("consumer", "report", "EVENTS"))
        self.broker.fix_port()
        self.broker.restart(hard=True)
        info = self.json("consumer", "info", "EVENTS", "consumer1")
        self.assertEqual((info["num_pending"], info["ack_floor"]["stream_seq"]), (3, 2))
        self.nats("consumer", "edit", "EVENTS", "consumer1", "--description", "edited", "--force")
        self.nats("consumer", "rm", "EVENTS", "consumer1", "--force")
        self.nats("consumer", "info", "EVENTS", "consumer1", fails=True)

    def test_key_value(self):
        self.nats("kv", "add", "CFG", "--history", "5")
        self.assertIn("one", self.nats("kv", "put", "CFG", "a", "one"))
        self.assertEqual(self.nats("kv", "get", "CFG", "a", "--raw").strip(), "one")
        self.nats("kv", "create", "CFG", "a", "two", fails=True)
        self.nats("kv", "update", "CFG", "a", "two", "1")
        self.nats("kv", "update", "CFG", "a", "three", "1", fails=True)
        self.assertIn("a", self.nats("kv", "ls", "CFG"))
        self.assertIn("two", self.nats("kv", "history", "CFG", "a"))
        self.nats("kv", "del", "CFG", "a", "--force")
        self.nats("kv", "get", "CFG", "a", "--raw", fails=True)
        self.nats("kv", "purge", "CFG", "a", "--force")
        self.assertIn("CFG", self.nats("kv", "ls"))
        self.assertIn("CFG", self.nats("kv", "info", "CFG"))
        self.nats("kv", "del", "CFG", "--force")

    def test_object_store(self):
        self.nats("object", "add", "FILES")
        with tempfile.NamedTemporaryFile(prefix="weir-test-") as file:
            data = os.urandom(300_000)
            file.write(data)
            file.flush()
            self.nats("object", "put", "FILES", file.name, "--name", "f", "--force", "--no-progress")
            self.nats(
                "object", "get", "FILES", "f", "--output", file.name + ".back", "--force", "--no-progress"
            )
            with open(file.name + ".back", "rb") as back:
                self.assertEqual(back.read(), data)
            os.unlink(file.name + ".back")

    def test_account_and_core(self):
        out = self.nats("account", "info")
        self.assertIn("JetStream Account Information", out)
        self.assertRegex(out, r"Connected Server Name: test")
        self.assertIn(self.broker.url, self.nats("rtt"))
        reply = subprocess.Popen(
            [CLI, "--server", self.broker.url, "reply", "svc", "--echo", "--count", "1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(os.environ, HOME=self.home.name),
        )
        self.addCleanup(reply.wait)
        self.addCleanup(reply.kill)
        until = time.monotonic() + 20
        while '"svc"' not in self.broker.get("/subsz?subs=1")[1] and time.monotonic() < until:
            time.sleep(0.05)
        self.assertIn("ping", self.nats("request", "svc", "ping"))

    def test_server_reports_for_the_system_user(self):
        self.add_events()
        self.nats("pub", "--jetstream", "events.x", "x")
        out = self.nats("server", "list", user="sys")
        self.assertRegex(out, r"test\b")
        out = self.nats("server", "report", "jetstream", user="sys")
        self.assertRegex(out, r"test\b")
        self.assertIn("test", self.nats("server", "report", "connections", user="sys"))
        self.assertIn("$SYS", self.nats("server", "report", "accounts", user="sys"))
        self.assertIn("test", self.nats("server", "info", user="sys"))
        self.nats("server", "ping", "1", user="sys")
        varz = self.json_of(self.nats("server", "request", "variables", user="sys"))
        self.assertEqual(varz["data"]["server_name"], "test")
        jsz = self.json_of(
            self.nats("server", "request", "jetstream", "--streams", "--consumer", "--config", user="sys")
        )
        self.assertEqual(jsz["data"]["streams"], 1)
        for kind in ("connections", "subscriptions", "accounts"):
            self.assertIn("data", self.json_of(self.nats("server", "request", kind, user="sys")), kind)

    @staticmethod
    def json_of(text):
        return json.loads(text[text.index("{") : text.rindex("}") + 1])

    def test_checks(self):
        self.add_events()
        self.nats("pub", "--jetstream", "events.x", "x")
        self.nats("kv", "add", "CFG")
        self.nats("kv", "put", "CFG", "k", "v")
        self.assertIn("OK", self.nats("server", "check", "connection"))
        self.assertIn("OK", self.nats("server", "check", "jetstream"))
        self.assertIn("OK", self.nats("server", "check", "stream", "--stream", "EVENTS"))
        self.assertIn(
            "OK", self.nats("server", "check", "message", "--stream", "EVENTS", "--subject", "events.x")
        )
        self.assertIn("OK", self.nats("server", "check", "kv", "--bucket", "CFG", "--key", "k"))
        self.assertIn("OK", self.nats("server", "check", "server", "--name", "test", user="sys"))

    def test_bench_runs(self):
        self.nats("bench", "pub", "bench.x", "--msgs", "20000", "--size", "128", "--no-progress")
        self.nats("stream", "add", "BENCH", "--subjects", "bench.js", "--defaults")
        self.nats(
            "bench",
            "js",
            "pub",
            "async",
            "bench.js",
            "--stream",
            "BENCH",
            "--msgs",
            "2000",
            "--batch",
            "100",
            "--no-progress",
        )

    def test_backup_and_restore_are_refused_clearly_or_work(self):
        self.add_events()
        self.nats("pub", "--jetstream", "events.x", "x")
        folder = os.path.join(self.home.name, "backup")
        done = subprocess.run(
            [CLI, "--server", self.broker.url, "stream", "backup", "EVENTS", folder, "--no-progress"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode != 0:
            self.assertNotIn("timeout", (done.stdout + done.stderr).lower())
            return
        self.nats("stream", "rm", "EVENTS", "--force")
        self.nats("stream", "restore", folder, "--no-progress")
        self.assertEqual(self.json("stream", "info", "EVENTS")["state"]["messages"], 1)


if __name__ == "__main__":
    try:
        subprocess.run([CLI, "--version"], capture_output=True, timeout=30)
    except OSError:
        skip("the nats CLI is not there (NATS_CLI=%s)" % CLI)
    unittest.main(verbosity=1)
