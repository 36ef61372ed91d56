"""Clients that speak TLS: INFO first, handshake first, both, users by certificate, and who is turned away."""

import json
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
sys.path.insert(0, str(HERE.parents[1] / "guide"))
from broker import Broker, BrokerFailed, Wire, binary  # noqa: E402
from certificates import Authority  # noqa: E402
from three_nodes import until  # noqa: E402

CONNECT = '{"verbose":false,"headers":true,"no_responders":true,"protocol":1%s}'


class SecureWire(Wire):
    """first: the handshake comes before INFO. pair: the client's certificate and key."""

    def __init__(self, broker, ca, pair=None, first=False, connect="", wait=0.0):
        self.context = ssl.create_default_context(cafile=str(ca.ca))
        if pair:
            self.context.load_cert_chain(*map(str, pair))
        self.buffer = b""
        self.sid = 0
        self.sock = socket.create_connection(("127.0.0.1", broker.port), timeout=10)
        time.sleep(wait)  # what is tried is a time: a client that says nothing for so long
        if not first:
            self.info = json.loads(self.line()[5:])
            assert self.buffer == b"", self.buffer
        self.sock = self.context.wrap_socket(self.sock, server_hostname="127.0.0.1")
        if first:
            self.info = json.loads(self.line()[5:])
        if connect is not None:
            self.send((b"CONNECT " + (CONNECT % connect).encode()) + b"\r\n")


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ca = Authority()
        cls.addClassCleanup(cls.ca.remove)
        cls.strangers = Authority("strangers")
        cls.addClassCleanup(cls.strangers.remove)
        cls.server = cls.ca.issue("server", usage="serverAuth")
        cls.app = cls.ca.issue("app", names="DNS:app.example,email:app@example.org", usage="clientAuth")

    def block(self, more=""):
        return self.ca.block(self.server, more)

    def echo(self, wire, size=1000):
        wire.send(b"SUB t 7\r\nPUB t %d\r\n%s\r\n" % (size, b"x" * size))
        self.assertEqual(wire.message()[3], b"x" * size)

    def test_info_first(self):
        with Broker(self.block(), monitor=True) as b:
            with SecureWire(b, self.ca) as w:
                self.assertTrue(w.info["tls_required"])
                self.assertNotIn("tls_verify", w.info)
                self.echo(w)
                self.echo(w, 900_000)
                shown = json.loads(b.get("/connz")[1])["connections"][0]
                self.assertIn(shown["tls_version"], ("1.2", "1.3"))
                self.assertRegex(shown["tls_cipher_suite"], "^TLS_")
            varz = json.loads(b.get("/varz")[1])
            self.assertTrue(varz["tls_required"])
            self.assertEqual(varz["tls_timeout"], 2)
            self.assertRegex(varz["tls_cert_not_after"], r"^\d{4}-")

    def test_jetstream_over_it(self):
        with Broker(self.block()) as b, SecureWire(b, self.ca) as w:
            self.assertNotIn("error", w.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s"]}))
            for i in range(1, 101):
                self.assertEqual(json.loads(w.request("s", b"m" * i)[1])["seq"], i)

    def test_handshake_first(self):
        with Broker(self.block("handshake_first: true")) as b:
            with SecureWire(b, self.ca, first=True) as w:
                self.echo(w)
            with socket.create_connection(("127.0.0.1", b.port), timeout=0.3) as s:
                with self.assertRaises(TimeoutError):
                    s.recv(1)

    def test_handshake_first_or_after_a_while(self):
        with Broker(self.block("handshake_first: 200ms"), monitor=True) as b:
            with SecureWire(b, self.ca, first=True) as w:
                self.echo(w)
                self.assertTrue(json.loads(b.get("/connz")[1])["connections"][0]["tls_first"])
            with SecureWire(b, self.ca) as w:
                self.echo(w)
            with Wire(b, connect=None) as w:
                w.send(b"PING\r\n")
                self.assertEqual(w.line(), "")

    def test_both_kinds(self):
        with Broker("allow_non_tls: true\n" + self.block()) as b:
            with SecureWire(b, self.ca) as w:
                self.assertNotIn("tls_required", w.info)
                self.assertTrue(w.info["tls_available"])
                self.echo(w)
            with Wire(b) as w:
                self.echo(w)

    def test_plain_clients_are_turned_away(self):
        with Broker(self.block()) as b:
            for _ in range(20):
                with Wire(b) as w:
                    self.assertEqual(w.ping()[-1], "")
            why = "TLS handshake error: tls handshake: the other side does not speak TLS"
            self.assertEqual(b.log_with(why).count(why), 1)
            with SecureWire(b, self.ca) as w:
                self.echo(w)

    def test_silent_clients_run_out_of_time(self):
        with Broker(self.block("timeout: 0.3")) as b:
            with Wire(b, connect=None) as w:
                self.assertEqual(w.line(), "")
            self.assertIn("not finished in time", b.log_with("not finished in time"))

    def test_verified_clients(self):
        with Broker(self.block("verify: true"), monitor=True) as b:
            with SecureWire(b, self.ca, self.app) as w:
                self.assertTrue(w.info["tls_verify"])
                self.echo(w)
            for pair in (None, self.strangers.issue("app"), self.ca.issue("old", days=-1)):
                with self.assertRaises((ssl.SSLError, ConnectionError, EOFError)):
                    with SecureWire(b, self.ca, pair) as w:
                        self.echo(w)
            for why in ("shows no certificate", "unable to get local issuer", "certificate has expired"):
                self.assertIn(why, b.log_with(why))
            closed = json.loads(b.get("/connz?state=closed")[1])["connections"]
            self.assertEqual([c["reason"] for c in closed].count("TLS Handshake Failure"), 3)

    def test_users_by_certificate(self):
        users = """authorization { users: [
          {user: "app@example.org", permissions: {publish: "mail", subscribe: ">"}},
          {user: "CN=sub,O=Weir", permissions: {publish: "dn", subscribe: ">"}},
          {user: other, password: secret}
        ] }\n"""
        with Broker(users + self.block("verify_and_map: true"), jetstream=False) as b:
            for pair, allowed in (
                (self.app, "mail"),
                (self.ca.issue("sub", names="DNS:nobody"), "dn"),
            ):
                with SecureWire(b, self.ca, pair) as w:
                    w.send(b"SUB > 1\r\nPUB %s 2\r\nok\r\n" % allowed.encode())
                    self.assertEqual(w.message()[0], allowed)
                    w.send(b"PUB elsewhere 2\r\nno\r\n")
                    self.assertIn("Permissions Violation", w.ping()[0])
            # Who has a certificate but is no user does not come in with another one's password.
            with SecureWire(b, self.ca, self.ca.issue("who"), connect=',"user":"other","pass":"secret"') as w:
                self.assertIn("Authorization Violation", w.ping()[0])

    def test_rate_limit(self):
        with Broker(self.block("connection_rate_limit: 2")) as b:
            served = 0
            for _ in range(10):
                with socket.create_connection(("127.0.0.1", b.port), timeout=10) as s:
                    try:
                        served += s.recv(5) == b"INFO "
                    except ConnectionError:
                        pass
            self.assertIn(served, range(2, 7))  # ten take less than three seconds

    def test_too_many_connections_are_told_so(self):
        with Broker("max_connections: 1\n" + self.block()) as b:
            with SecureWire(b, self.ca), SecureWire(b, self.ca, connect=None) as w:
                self.assertEqual(w.line(), "-ERR 'maximum connections exceeded'")

    def test_new_certificates_by_reload(self):
        def serial(broker):
            with SecureWire(broker, self.ca) as w:
                return int(w.sock.getpeercert()["serialNumber"], 16)

        def reload(broker, says):
            seen = broker.log().count(says)
            broker.process.send_signal(signal.SIGHUP)
            until("the log says " + says, lambda: broker.log().count(says) > seen)

        cert, key = self.ca.issue("renewed", usage="serverAuth")
        with Broker(self.ca.block((cert, key))) as b, SecureWire(b, self.ca) as w:
            first = serial(b)
            good = key.read_text()
            key.write_text("nonsense")
            reload(b, "Failed to reload server configuration")
            self.assertEqual(serial(b), first)
            key.write_text(good)
            self.ca.issue("renewed", usage="serverAuth")  # the same files
            self.assertEqual(serial(b), first)
            reload(b, "Reloaded server configuration")
            self.assertNotEqual(serial(b), first)
            self.echo(w)

    def test_stops_with_clients(self):
        with Broker(self.block()) as b:
            with SecureWire(b, self.ca) as w:
                self.echo(w)
                self.assertEqual(b.stop(), 0)
                self.assertEqual(w.line(), "")


class Flags(unittest.TestCase):
    def test_flags_do_what_the_block_does(self):
        with Authority() as ca:
            cert, key = ca.issue("server")
            with Broker(args=["--tls", "--tlscert", str(cert), "--tlskey", str(key)]) as b:
                with SecureWire(b, ca) as w:
                    self.assertEqual(w.ping(), [])
            with self.assertRaises(BrokerFailed) as failed:
                Broker(args=["--tls"]).start()
            self.assertEqual(failed.exception.code, 1)
            with self.assertRaises(BrokerFailed) as failed:
                Broker(args=["--tls", "--tlscert", "none.pem", "--tlskey", str(key)]).start()
            self.assertIn("cert_file: open none.pem: no such file or directory", failed.exception.text)

    def test_what_is_refused(self):
        with Authority() as ca:
            pair = ca.issue("server")
            for text, complaint in (
                (ca.block(pair, "ocsp_peer: true"), '"ocsp_peer" is not supported'),
                (ca.block(pair, "verify_cert_and_check_known_urls: true"), "is for nodes, not for clients"),
                (ca.block(pair, "verify_and_map: true"), "there are no users"),
                ("https_port: 8443", '"https_port" is not supported'),
                ("tls {}", "missing 'cert_file' and 'key_file'"),
                ("tls { certs: [{cert_file: a}] }", "needs both cert_file and key_file"),
            ):
                config = ca.folder / "c.conf"
                config.write_text(text + "\n")
                run = subprocess.run([binary(), "-t", "-c", str(config)], capture_output=True, text=True, timeout=20)
                self.assertEqual(run.returncode, 1, text)
                self.assertRegex(run.stderr, r"c.conf:1:\d+: .*" + re.escape(complaint))


if __name__ == "__main__":
    unittest.main(verbosity=2)
