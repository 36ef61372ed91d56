"""Three brokers on 127.0.0.1 that form a cluster: own folders, free ports, stopped by their process ids.

Their configuration has the keys that Kubernetes guides show (port, monitor_port, max_mem, max_file, a cluster block
with name, port and routes). What such a guide leaves to the pod, its address and its name, comes from the command
line. Accounts are added: a system account, or nobody could be the surveyor.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance/lib"))
from broker import Wire, binary  # noqa: E402

READY_S = 60.0
STOP_S = 30.0
CONFIG = """
port: %(port)d
monitor_port: %(monitor)d

jetstream {
  store_dir: "%(store)s"
  max_mem: 256M
  max_file: 2G
}

cluster {
  name: nats-cluster
  host: 127.0.0.1
  port: %(cluster)d
  routes: [
    %(routes)s
  ]
  %(more)s
}

accounts {
  $SYS: { users: [ {user: sys, password: pass} ] }
  APP: { users: [ {user: app, password: pass} ], jetstream: enabled }
}
no_auth_user: app
"""


def free_ports(count):
    """All at once, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def until(what, condition, seconds=READY_S):
    """The first true value of the condition; an error if there is none in time. OSErrors count as false."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except (OSError, ValueError) as e:
            last = e
        time.sleep(0.1)
    raise TimeoutError("%s: not within %d s; last: %s" % (what, seconds, last))


class Node:
    def __init__(self, name, folder, ports):
        self.name = name
        self.port, self.monitor, self.cluster = ports
        self.folder = folder / name
        self.folder.mkdir()
        self.config = self.folder / "nats.conf"
        self.log_path = self.folder / "log"
        self.process = None

    @property
    def url(self):
        return "nats://127.0.0.1:%d" % self.port

    def write_config(self, cluster_ports, more=""):
        """more: further keys of the cluster block."""
        values = {
            "port": self.port,
            "monitor": self.monitor,
            "cluster": self.cluster,
            "store": self.folder / "store",
            "more": more,
            "routes": ",\n    ".join("nats://127.0.0.1:%d" % p for p in cluster_ports),
        }
        self.config.write_text(CONFIG % values)

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [binary(), "--config", str(self.config), "--name", self.name, "--addr", "127.0.0.1"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.running():
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self):
        """SIGTERM; the exit code."""
        if self.running():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode if self.process else None

    def wipe(self):
        shutil.rmtree(self.folder / "store")

    def page(self, path):
        """A monitoring page; OSError or ValueError if there is none."""
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.monitor, path), timeout=5) as r:
            return json.load(r)

    def healthy(self):
        try:
            return self.page("/healthz").get("status") == "ok"
        except urllib.error.HTTPError as e:
            e.close()
            return False

    def log(self):
        return self.log_path.read_text(errors="replace")


class ThreeNodes:
    def __init__(self, more=lambda name: ""):
        """more(name): further keys of that node's cluster block."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-guide-"))
        ports = free_ports(9)
        self.nodes = [Node("nats-%d" % i, self.folder, ports[i * 3 : i * 3 + 3]) for i in range(3)]
        for node in self.nodes:
            node.write_config([n.cluster for n in self.nodes], more(node.name))

    @property
    def urls(self):
        return ",".join(n.url for n in self.nodes)

    def start(self):
        for node in self.nodes:
            node.start()
        self.wait_ready()
        return self

    def wait_ready(self):
        for node in self.nodes:
            until(
                "%s is healthy" % node.name,
                lambda n=node: n.healthy() or self.ended(n),
            )
        until("JetStream answers", lambda: "error" not in self.api("INFO"))

    def ended(self, node):
        if not node.running():
            raise RuntimeError("%s ended with %s\n%s" % (node.name, node.process.returncode, node.log()[-2000:]))
        return False

    def stop(self):
        """Exit codes."""
        codes = [n.stop() for n in self.nodes]
        if not os.environ.get("WEIR_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)
        return codes

    def named(self, name):
        return next(n for n in self.nodes if n.name == name)

    def wire(self):
        """A connection to any node that runs."""
        for node in self.nodes:
            if node.running():
                try:
                    return Wire(node, timeout=15.0)
                except OSError:
                    continue
        raise OSError("no node takes connections")

    def api(self, subject, body=None):
        with self.wire() as w:
            return w.api(subject, body)

    def info(self, stream):
        return self.api("STREAM.INFO." + stream)

    def replicas(self, stream):
        """{name: what the leader says of this replica}, the leader included, if all three are current and stand
        level; else a text that says why not."""
        info = self.info(stream)
        if "error" in info:
            return info["error"]["description"]
        group = info.get("cluster") or {}
        if not group.get("leader"):
            return "no leader"
        found = {r["name"]: r for r in group.get("replicas") or []}
        late = [n for n, r in found.items() if not r.get("current") or r.get("offline") or r.get("lag", 0)]
        if late or len(found) != 2:
            return "leader %s, replicas %s" % (group["leader"], found)
        found[group["leader"]] = {"name": group["leader"], "current": True, "leader": True}
        return found

    def wait_replicas(self, stream):
        seen = []

        def all_current():
            seen[:] = [self.replicas(stream)]
            return seen[0] if isinstance(seen[0], dict) else None

        try:
            return until("replicas of %s are current" % stream, all_current)
        except TimeoutError as e:
            raise TimeoutError("%s: %s" % (e, seen)) from None

    def stored(self, node, stream):
        """The stream as this node itself has it, or None."""
        page = node.page("/jsz?accounts=true&streams=true")
        for account in page.get("account_details") or []:
            for s in account.get("stream_detail") or []:
                if s["name"] == stream:
                    return s["state"]
        return None

    def delete_streams(self):
        for name in self.api("STREAM.NAMES").get("streams") or []:
            self.api("STREAM.DELETE." + name)
