"""Namespaces, links and cuts: every node is a host of its own on a bridge.

A cut is one-way and silent: the sender's neighbour entry names a hardware address that nobody has, so
packets leave and never arrive. It needs only `ip`; nothing is rejected, no connection is reset. The kernel
of this project's machines has neither netem nor nft, hence this way.
"""

import fcntl
import glob
import os
import subprocess

NOBODY = "02:00:00:00:de:ad"
HOST = 254
RUNS = "/tmp/weir-chaos"


def ip(*args, check=True):
    return subprocess.run(("ip",) + args, check=check, capture_output=True, text=True)


def why_not():
    """Why namespaces cannot be had here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    probe = ip("netns", "add", "weirchk%d" % os.getpid(), check=False)
    if probe.returncode != 0:
        return "ip netns add: " + probe.stderr.strip()
    ip("netns", "del", "weirchk%d" % os.getpid(), check=False)
    return None


class Network:
    """Takes a free slot 1..99: bridge wcb<slot>, namespaces wc<slot>n<i>, addresses 10.77.<slot>.<i>."""

    def __init__(self, nodes):
        os.makedirs(RUNS, exist_ok=True)
        self.nodes = nodes
        self.cuts = set()
        for slot in range(1, 100):
            lock = open("%s/slot%d.lock" % (RUNS, slot), "w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            self.slot, self.lock = slot, lock
            break
        else:
            raise RuntimeError("99 chaos runs at once")
        self.bridge = "wcb%d" % self.slot
        remove_slot(self.slot)

    def namespace(self, node):
        return "wc%dn%d" % (self.slot, node)

    def address(self, node):
        return "10.77.%d.%d" % (self.slot, node)

    def mac(self, node):
        return "02:77:00:00:%02x:%02x" % (self.slot, node)

    def up(self):
        ip("link", "add", "name", self.bridge, "address", self.mac(HOST), "type", "bridge")
        ip("addr", "add", self.address(HOST) + "/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")
        for node in range(1, self.nodes + 1):
            name, outer = self.namespace(node), "wc%dv%d" % (self.slot, node)
            ip("netns", "add", name)
            ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "address", self.mac(node), "netns", name)
            ip("link", "set", outer, "master", self.bridge, "up")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "addr", "add", self.address(node) + "/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        self.heal()

    def _route(self, source, target, mac):
        where = ("-n", self.namespace(source)) if source != HOST else ()
        dev = "eth0" if source != HOST else self.bridge
        ip(*where, "neigh", "replace", self.address(target), "lladdr", mac, "dev", dev, "nud", "permanent")

    def cut(self, source, target):
        """Nothing that source sends to target arrives. HOST stands for the clients."""
        self.cuts.add((source, target))
        self._route(source, target, NOBODY)

    def cut_both(self, a, b):
        self.cut(a, b)
        self.cut(b, a)

    def heal(self):
        everyone = list(range(1, self.nodes + 1)) + [HOST]
        wanted = self.cuts or {(a, b) for a in everyone for b in everyone if a != b}
        for source, target in wanted:
            self._route(source, target, self.mac(target))
        self.cuts = set()

    def down(self):
        remove_slot(self.slot)
        self.lock.close()


def remove_slot(slot):
    listed = [line.split()[0] for line in ip("netns", "list", check=False).stdout.splitlines() if line]
    for name in listed:
        if name.startswith("wc%dn" % slot):
            for pid in ip("netns", "pids", name, check=False).stdout.split():
                try:
                    os.kill(int(pid), 9)
                except ProcessLookupError:
                    pass
            ip("netns", "del", name, check=False)
    # Deleting a namespace is not immediate; its veth goes by name.
    links = ip("-o", "link", check=False).stdout.splitlines()
    for line in links:
        name = line.split(": ")[1].split("@")[0]
        if name.startswith("wc%dv" % slot) or name == "wcb%d" % slot:
            ip("link", "del", name, check=False)


def unmount_all(folder):
    """Unmounts what is mounted below folder; returns how many."""
    with open("/proc/mounts") as f:
        mounted = [line.split()[1] for line in f if line.split()[1].startswith(folder + "/")]
    for point in mounted:
        subprocess.run(["umount", "-l", point], check=False)
    return len(mounted)


def clean():
    """After a run that could not end by itself: namespaces, bridges and mounts of slots that nobody holds."""
    gone = []
    for path in glob.glob(RUNS + "/slot*.lock"):
        slot = int(path.rsplit("slot", 1)[1].split(".")[0])
        with open(path) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            remove_slot(slot)
            unmount_all("%s/slot%d" % (RUNS, slot))
            gone.append(slot)
    return gone
