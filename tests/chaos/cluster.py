"""The nodes: configuration, processes, stores, disks that can be full; and what they say about themselves."""

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request

from network import Network, unmount_all
from wire import Wire, WireError

REPLICATED = ("LOAD", "QUEUE", "KV_REG")
DISK_BYTES = 3 << 30
LOAD_BYTES = 400 << 20  # a quarter of an hour of load: a long run must not fill the disks by itself
START_S = 30.0
CONFIG = """server_name: n%(node)d
listen: "%(ip)s:4222"
http: "%(ip)s:8222"
jetstream { store_dir: "%(store)s", max_file_store: 20GB%(sync)s }
cluster { name: chaos, listen: "%(ip)s:6222", routes: [%(routes)s] }
accounts {
  $SYS { users: [{user: sys, password: sys}] }
  APP { jetstream: enabled, users: [{user: app, password: app}] }
}
no_auth_user: app
lame_duck_duration: "30s"
lame_duck_grace_period: "1s"
"""


class NodeDied(Exception):
    pass


class Node:
    def __init__(self, number, folder, network, options):
        self.number, self.network, self.options = number, network, options
        self.address = network.address(number)
        self.disk = os.path.join(folder, "disk%d" % number)
        self.store = os.path.join(self.disk, "store")
        self.config = os.path.join(folder, "n%d.conf" % number)
        self.log = os.path.join(folder, "n%d.log" % number)
        self.program = options.program
        self.process = None
        self.paused = False
        self.starts = 0
        self.damage = []  # of damage.Damage
        os.makedirs(self.disk, exist_ok=True)

    def mount(self, folder):
        image = os.path.join(folder, "disk%d.img" % self.number)
        with open(image, "wb") as f:
            f.truncate(DISK_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, self.disk], check=True)

    def write_config(self, others):
        sync = ', sync_interval: "%s"' % self.options.peer_sync if self.options.peer_sync else ""
        routes = ", ".join('"nats://%s:6222"' % a for a in others)
        with open(self.config, "w") as f:
            f.write(
                CONFIG
                % {
                    "node": self.number,
                    "ip": self.address,
                    "store": self.store,
                    "routes": routes,
                    "sync": sync,
                }
            )

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def start(self):
        """Starts the process; does not wait. `ip netns exec` becomes the broker: the pid is its own."""
        assert not self.running
        self.starts += 1
        with open(self.log, "ab") as log:
            log.write(b"==== start %d at %.3f\n" % (self.starts, time.monotonic()))
            log.flush()
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.network.namespace(self.number)]
                + [self.program, "-c", self.config],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.paused = False

    def change_program(self):
        """From its next start on it is of the other version, if there are two."""
        if self.options.next:
            self.program = self.options.next if self.program == self.options.program else self.options.program

    def send(self, number):
        if self.running:
            os.kill(self.process.pid, number)

    def kill(self):
        if self.process is None:
            return
        self.send(signal.SIGKILL)
        self.process.wait()

    def stop(self, number=signal.SIGTERM, timeout=60.0):
        """Asks for an end; False if it had to be killed."""
        self.send(number)
        try:
            self.process.wait(timeout)
            return True
        except subprocess.TimeoutExpired:
            self.kill()
            return False

    def pause(self):
        self.send(signal.SIGSTOP)
        self.paused = True

    def resume(self):
        self.send(signal.SIGCONT)
        self.paused = False

    def wait_ready(self, timeout=START_S):
        """Until it takes clients. NodeDied if the process ends instead."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if not self.running:
                raise NodeDied("n%d exited with %s" % (self.number, self.process.returncode))
            try:
                with Wire(self.address, timeout=0.5):
                    return
            except WireError:
                time.sleep(0.05)
        raise NodeDied("n%d does not take clients %d s after its start" % (self.number, timeout))

    def page(self, path, timeout=2.0):
        try:
            with urllib.request.urlopen("http://%s:8222%s" % (self.address, path), timeout=timeout) as r:
                return json.load(r)
        except (OSError, ValueError):
            return None

    def streams(self):
        """{name: its details} as this node tells, or None when it does not answer."""
        z = self.page("/jsz?streams=true&accounts=true&consumers=true")
        if z is None:
            return None
        return {s["name"]: s for a in z.get("account_details") or [] for s in a.get("stream_detail") or []}

    # ---- disk

    def fill_disk(self):
        free = os.statvfs(self.disk)
        path = os.path.join(self.disk, "filler")
        with open(path, "wb", buffering=0) as f:
            os.posix_fallocate(f.fileno(), 0, max(free.f_bavail * free.f_frsize - (1 << 20), 4096))
            f.seek(0, 2)
            try:
                while True:
                    f.write(b"\0" * 4096)
            except OSError:
                pass

    def free_disk(self):
        path = os.path.join(self.disk, "filler")
        if os.path.exists(path):
            os.unlink(path)

    def wipe(self):
        shutil.rmtree(self.store, ignore_errors=True)
        self.damage = []

    def files(self):
        """What damage may hit."""
        found = glob.glob(self.store + "/**/*", recursive=True)
        found = [p for p in found if os.path.isfile(p) and os.path.getsize(p) > 0]
        return sorted(p for p in found if not p.endswith((".lock", ".pid")))

    def log_since(self, mark):
        with open(self.log, "rb") as f:
            f.seek(mark)
            return f.read().decode("utf-8", "replace")

    def log_size(self):
        return os.path.getsize(self.log) if os.path.exists(self.log) else 0


class Cluster:
    def __init__(self, options):
        self.options = options
        self.network = Network(options.nodes)
        self.folder, self.nodes = None, {}

    def up(self, folder):
        self.folder = folder
        self.nodes = {n: Node(n, folder, self.network, self.options) for n in range(1, self.options.nodes + 1)}
        self.network.up()
        addresses = [n.address for n in self.nodes.values()]
        for node in self.nodes.values():
            if "diskfull" in self.options.faults:
                node.mount(self.folder)
            node.write_config(addresses)
            node.start()
        for node in self.nodes.values():
            node.wait_ready()

    def down(self):
        for node in self.nodes.values():
            if node.running and node.paused:
                node.resume()
            node.kill()
        self.network.down()
        if self.folder:
            unmount_all(self.folder)

    def urls(self):
        return ",".join("nats://%s:4222" % n.address for n in self.nodes.values())

    def api(self, verb, body=None, timeout=2.0, tries_s=0.0):
        """Asks any node; goes on for tries_s seconds. The last error goes up."""
        end = time.monotonic() + tries_s
        while True:
            for node in self.nodes.values():
                if not node.running or node.paused:
                    continue
                try:
                    with Wire(node.address, timeout=timeout) as w:
                        answer = w.api(verb, body, timeout)
                    if "error" in answer and answer["error"].get("code") in (503, 500):
                        raise WireError(str(answer["error"]))
                    return answer
                except WireError as e:
                    error = e
            if time.monotonic() >= end:
                raise error
            time.sleep(0.1)

    def leader(self, stream="LOAD"):
        """Number of the node that leads the stream, or None."""
        try:
            info = self.api("STREAM.INFO." + stream)
        except WireError:
            return None
        name = (info.get("cluster") or {}).get("leader") or ""
        found = re.fullmatch(r"n(\d+)", name)
        return int(found.group(1)) if found else None

    def create(self):
        replicas = min(3, self.options.nodes)
        base = {"storage": "file", "duplicate_window": 3600 * 10**9, "allow_direct": True}
        streams = [
            dict(base, name="LOAD", subjects=["load.>"], num_replicas=replicas, max_bytes=LOAD_BYTES),
            dict(base, name="SOLO", subjects=["solo.>"], num_replicas=1),
            dict(base, name="QUEUE", subjects=["work.>"], num_replicas=replicas, retention="workqueue"),
            dict(base, name="KV_REG", subjects=["$KV.REG.>"], num_replicas=replicas),
        ]
        for config in streams:
            self._make("STREAM.CREATE." + config["name"], config)
        for stream, durable in (("LOAD", "worker"), ("QUEUE", "hands")):
            config = {
                "durable_name": durable,
                "ack_policy": "explicit",
                "ack_wait": 4 * 10**9,
                "max_ack_pending": 5000,
                "max_deliver": -1,
                "deliver_policy": "all",
            }
            body = {"stream_name": stream, "config": config}
            self._make("CONSUMER.DURABLE.CREATE.%s.%s" % (stream, durable), body)

    def _make(self, verb, body):
        """Nodes that have just started may not all be known yet: refusals are not final for a minute."""
        end = time.monotonic() + 60
        while True:
            answer = self.api(verb, body, timeout=5, tries_s=60)
            if "error" not in answer:
                return
            if time.monotonic() > end:
                raise WireError(str(answer["error"]))
            time.sleep(0.2)

    def behind(self):
        """Why not every replica of every replicated stream is current, or None."""
        states = {}
        for node in self.nodes.values():
            states[node.number] = node.streams()
            if states[node.number] is None:
                return "n%d does not answer" % node.number
        for stream in REPLICATED:
            try:
                info = self.api("STREAM.INFO." + stream)
            except WireError as e:
                return "%s: no info: %s" % (stream, e)
            if "error" in info:
                return "%s: %s" % (stream, info["error"].get("description"))
            group = info.get("cluster") or {}
            others = group.get("replicas") or []
            if not group.get("leader") or len(others) != min(3, len(self.nodes)) - 1:
                return "%s: leader %s, %d others" % (stream, group.get("leader"), len(others))
            late = [r["name"] for r in others if not r.get("current") or r.get("offline")]
            if late:
                return "%s: %s not current" % (stream, ", ".join(late))
        # What leaders had when this began must be everywhere by now.
        last = {}
        for per in states.values():
            for stream in REPLICATED:
                if stream in per:
                    last[stream] = max(last.get(stream, 0), per[stream]["state"]["last_seq"])
        for node in self.nodes.values():
            now = node.streams()
            for stream, seq in last.items():
                if now is None or (stream in now and now[stream]["state"]["last_seq"] < seq):
                    return "%s: n%d is behind %d" % (stream, node.number, seq)
        if any(sum(stream in per for per in states.values()) < min(3, len(self.nodes)) for stream in last):
            return "a replica is missing"
        return None

    def wait_current(self, timeout):
        """Seconds until every replica is current and None, or None and the reason."""
        began = time.monotonic()
        while True:
            why = self.behind()
            took = time.monotonic() - began
            if why is None:
                return took, None
            if took > timeout:
                return None, why
            time.sleep(0.1)
