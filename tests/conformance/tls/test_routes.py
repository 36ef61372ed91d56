"""Nodes that speak TLS with each other: three processes with certificates, and everybody whom they keep out."""

import json
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
sys.path.insert(0, str(HERE.parents[1] / "guide"))
from broker import Wire, binary  # noqa: E402
from certificates import Authority  # noqa: E402
from three_nodes import Node, ThreeNodes, free_ports, until  # noqa: E402

R3 = {"name": "S", "subjects": ["s.>"], "num_replicas": 3}


def publish(cluster, count, start=0):
    """Acknowledged publishes; their sequences."""
    seqs = []
    with cluster.wire() as w:
        for i in range(start, start + count):
            ack = json.loads(w.request("s.%d" % i, "message %d" % i)[1])
            if "error" in ack:
                raise AssertionError(ack)
            seqs.append(ack["seq"])
    return seqs


class Routes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ca = Authority()
        cls.addClassCleanup(cls.ca.remove)
        cls.stranger_ca = Authority("stranger-ca")
        cls.addClassCleanup(cls.stranger_ca.remove)
        cls.cluster = ThreeNodes(lambda name: cls.ca.block(cls.ca.issue(name), "timeout: 1"))
        cls.addClassCleanup(cls.cluster.stop)
        cls.cluster.start()

    def outsider(self, name, more):
        """A fourth node, started; it knows the three."""
        ports = free_ports(3)
        node = Node(name, self.cluster.folder, ports)
        node.write_config([n.cluster for n in self.cluster.nodes], more)
        node.start()
        self.addCleanup(node.kill)
        return node

    def test_replicated_publish_and_a_killed_leader(self):
        self.cluster.api("STREAM.CREATE.S", R3)
        self.assertEqual(publish(self.cluster, 200), list(range(1, 201)))
        leader = self.cluster.info("S")["cluster"]["leader"]
        self.cluster.named(leader).kill()
        until("a new leader", lambda: self.cluster.info("S").get("cluster", {}).get("leader") not in (None, leader))
        self.assertEqual(publish(self.cluster, 200, 200), list(range(201, 401)))
        self.cluster.named(leader).start()
        self.cluster.wait_ready()
        self.cluster.wait_replicas("S")
        for node in self.cluster.nodes:
            self.assertEqual(self.cluster.stored(node, "S")["messages"], 400, node.name)
        self.cluster.delete_streams()

    def test_monitoring_shows_it(self):
        for node in self.cluster.nodes:
            until("routes of " + node.name, lambda n=node: n.page("/routez")["num_routes"] == 2)
            shown = node.page("/varz")["cluster"]
            self.assertEqual((shown.get("tls_required"), shown.get("tls_verify"), shown.get("tls_timeout")), (True, True, 1))

    def test_the_wire_is_tls_and_wants_a_certificate(self):
        port = self.cluster.nodes[0].cluster
        context = ssl.create_default_context(cafile=str(self.ca.ca))
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as s:  # TLS 1.3: refused after it
                self.assertIn(s.version(), ("TLSv1.2", "TLSv1.3"))
                with self.assertRaises(ssl.SSLError) as refused:
                    s.recv(1)
                self.assertIn("CERTIFICATE_REQUIRED", str(refused.exception))
        context.load_cert_chain(*map(str, self.ca.issue("probe")))
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as s:
                s.sendall(b"not a hello, but a good certificate")
                self.assertEqual(s.recv(1), b"")

    def test_old_versions_are_refused(self):
        context = ssl.create_default_context(cafile=str(self.ca.ca))
        context.load_cert_chain(*map(str, self.ca.issue("probe")))
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", self.cluster.nodes[0].cluster), timeout=10) as raw:
            with self.assertRaises(ssl.SSLError):
                context.wrap_socket(raw, server_hostname="127.0.0.1")

    def test_a_silent_connection_is_ended(self):
        with socket.create_connection(("127.0.0.1", self.cluster.nodes[0].cluster), timeout=10) as s:
            begin = time.monotonic()
            self.assertEqual(s.recv(1), b"")
            self.assertGreater(time.monotonic() - begin, 0.8)

    def test_a_node_of_another_authority_stays_out(self):
        stranger = self.stranger_ca.issue("stranger")
        node = self.outsider(
            "stranger", 'tls { cert_file: "%s", key_file: "%s", ca_file: "%s" }' % (*stranger, self.ca.ca)
        )
        why = "the certificate of CN=stranger,O=Weir is not accepted"
        for n in self.cluster.nodes:
            until("%s says why" % n.name, lambda n=n: why in n.log())
        until("it is told why", lambda: "the other side refuses: unknown CA" in node.log())
        time.sleep(3)  # it tries again several times
        for n in self.cluster.nodes:
            self.assertEqual(n.log().count(why), 1, "once per remote, not per attempt")
            self.assertEqual(n.page("/routez")["num_routes"], 2)
        self.assertEqual(node.page("/routez")["num_routes"], 0)
        self.assertLess(node.log().count("unknown CA"), 10)

    def test_expired_certificates_stay_out(self):
        node = self.outsider("late", self.ca.block(self.ca.issue("late", days=-1)))
        for n in self.cluster.nodes:
            until("%s says why" % n.name, lambda n=n: "certificate has expired" in n.log())
        until("it says so itself", lambda: re.search(r"the certificate of this node expired at \d{4}-", node.log()))
        self.assertEqual(node.page("/routez")["num_routes"], 0)

    def test_certificates_for_other_names_are_not_dialled(self):
        node = self.outsider("elsewhere", self.ca.block(self.ca.issue("elsewhere", names="DNS:elsewhere")))
        # It may come in (its certificate is good), but nobody would reach it under its address.
        until("it comes in", lambda: node.page("/routez")["num_routes"] == 3)

    def test_a_plain_node_stays_out(self):
        node = self.outsider("plain", "")
        for n in self.cluster.nodes:
            until("%s says why" % n.name, lambda n=n: "the other side does not speak TLS" in n.log())
        until("it guesses why", lambda: "the other side closed it without a word; does it want TLS?" in node.log())
        self.assertEqual(node.page("/routez")["num_routes"], 0)

    def test_a_plain_node_that_is_dialled_says_what_it_hears(self):
        plain = self.outsider("plain-2", "no_advertise: true")
        until("it is up", lambda: plain.page("/varz"))
        ports = free_ports(3)
        node = Node("secure", self.cluster.folder, ports)
        node.write_config([plain.cluster], self.ca.block(self.ca.issue("secure")))
        node.start()
        self.addCleanup(node.kill)
        until("it hears TLS", lambda: "tls: the other side has it, this one has not" in plain.log())
        until("so does the other", lambda: "tls handshake: the other side" in node.log())


class Starts(unittest.TestCase):
    """Certificates that cannot be used end the start, and -t finds them too."""

    def setUp(self):
        self.ca = Authority()
        self.addCleanup(self.ca.remove)
        self.pair = self.ca.issue("node")

    def refused(self, tls):
        config = self.ca.folder / "c.conf"
        config.write_text("port: -1\nserver_name: n\ncluster {\n  name: c\n  port: -1\n  %s\n}\n" % tls)
        texts = []
        for more in ([], ["-t"]):
            run = subprocess.run([binary(), "-c", str(config), *more], capture_output=True, text=True, timeout=20)
            self.assertEqual(run.returncode, 1, run.stderr)
            texts.append(run.stderr)
        self.assertEqual(texts[0], texts[1])
        return texts[0].replace(str(config), "c.conf").replace(str(self.ca.folder) + "/", "")

    def test_good_ones_pass(self):
        config = self.ca.folder / "c.conf"
        config.write_text("cluster {\n  name: c\n  port: 6222\n  %s\n}\n" % self.ca.block(self.pair))
        run = subprocess.run([binary(), "-t", "-c", str(config)], capture_output=True, text=True, timeout=20)
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_files_that_are_not_there(self):
        text = self.refused(self.ca.block(("none.pem", self.pair[1])))
        self.assertIn("c.conf:6:20: cert_file: open none.pem: no such file or directory", text)
        text = self.refused(self.ca.block((self.pair[0], "none.pem")))
        self.assertRegex(text, r"c.conf:6:\d+: key_file: open none.pem: no such file or directory")

    def test_files_that_do_not_fit(self):
        text = self.refused(self.ca.block((self.pair[0], self.ca.issue("other")[1])))
        self.assertRegex(text, r"c.conf:6:\d+: key_file: other-key.pem is not the key of the certificate in node.pem")
        text = self.refused(self.ca.block((self.pair[1], self.pair[1])))
        self.assertRegex(text, r"c.conf:6:\d+: cert_file: node-key.pem has no PEM certificate in it")

    def test_keys_that_are_not_served(self):
        for key in ("ocsp_peer: true", 'cert_store: "WindowsCurrentUser"'):
            text = self.refused(self.ca.block(self.pair, key))
            self.assertIn('"%s" is not supported by this version' % key.split(":")[0], text)
        self.assertIn("missing 'key_file' in TLS configuration", self.refused('tls { cert_file: "c.pem" }'))
        self.assertIn("unrecognized cipher NONE", self.refused(self.ca.block(self.pair, "cipher_suites: [NONE]")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
