"""Brokers to measure: one server or a cluster on this machine, weir-broker or nats-server, same configuration."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
START_S = 60.0


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    try:
        for s in held:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in held]
    finally:
        for s in held:
            s.close()


class Node:
    """One process with its own store. It is started by start() and ends with kill() or stop()."""

    def __init__(self, folder, name, binary, ports):
        self.folder, self.name, self.binary = folder, name, binary
        self.port, self.http, self.route = ports
        self.store = folder / name
        self.config = folder / f"{name}.conf"
        self.log = folder / f"{name}.log"
        self.process = None
        self.cpu_before = 0.0  # of processes that ended

    def write_config(self, sync, routes):
        text = f'server_name: {self.name}\nlisten: "127.0.0.1:{self.port}"\nhttp: "127.0.0.1:{self.http}"\n'
        text += f'jetstream {{\n store_dir: "{self.store}"\n max_file_store: 64GB\n'
        text += f" sync_interval: {sync}\n" if sync else ""
        text += "}\n"
        if routes:
            text += f'cluster {{ name: bench, listen: "127.0.0.1:{self.route}", routes: [{", ".join(routes)}] }}\n'
        self.config.write_text(text)

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "-c", str(self.config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9."""
        if self.running():
            self.cpu_before += self._cpu_now()
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self):
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def _cpu_now(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def cpu(self):
        """CPU seconds so far, also of earlier processes of this node."""
        return self.cpu_before + (self._cpu_now() if self.running() else 0.0)

    def memory(self):
        """Resident MiB: all, and without the pages of files (shared libraries) that others share."""
        found = {}
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key in ("VmRSS", "RssAnon"):
                found[key] = int(value.split()[0]) / 1024
        return found["VmRSS"], found["RssAnon"]

    def page(self, path, timeout=10.0):
        """Decoded JSON of the monitor, also of a refusal; None without an answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=timeout) as r:
                return json.load(r)
        except urllib.error.HTTPError as e:
            try:
                return json.load(e)
            except ValueError:
                return None
        except (OSError, ValueError):
            return None

    def healthy(self):
        return (self.page("/healthz") or {}).get("status") == "ok"

    def store_bytes(self):
        """Bytes that the store takes on the disk."""
        total = 0
        for where, _, files in os.walk(self.store):
            for f in files:
                try:
                    total += os.lstat(os.path.join(where, f)).st_blocks * 512
                except OSError:
                    pass
        return total

    def log_end(self):
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-5:])


class Cluster:
    """`count` nodes of one binary; a count of 1 is a server without a cluster. sync: sync_interval or None."""

    def __init__(self, name, binary, sync=None, count=3):
        self.name = name
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-"))
        ports = free_ports(3 * count)
        self.nodes = [
            Node(self.folder, f"n{i + 1}", binary, ports[3 * i : 3 * i + 3]) for i in range(count)
        ]
        routes = [f'"nats://127.0.0.1:{n.route}"' for n in self.nodes] if count > 1 else []
        for n in self.nodes:
            n.write_config(sync, routes)
            n.start()
        try:
            self.wait_healthy()
        except RuntimeError:
            self.stop(keep=True)
            raise

    def wait_healthy(self, nodes=None, timeout=START_S):
        """Seconds until all (or the given) nodes say ok; RuntimeError when they do not."""
        began = time.monotonic()
        for n in nodes or self.nodes:
            while not n.healthy():
                if not n.running():
                    raise RuntimeError(f"{self.name} {n.name} has ended: {n.log}\n{n.log_end()}")
                if time.monotonic() - began > timeout:
                    raise RuntimeError(f"{self.name} {n.name} is not healthy: {n.log}\n{n.page('/healthz')}")
                time.sleep(0.05)
        return time.monotonic() - began

    def cpu(self):
        return sum(n.cpu() for n in self.nodes)

    def memory(self):
        per = [n.memory() for n in self.nodes]
        return sum(p[0] for p in per), sum(p[1] for p in per)

    def stop(self, keep=False):
        for n in self.nodes:
            n.stop()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
