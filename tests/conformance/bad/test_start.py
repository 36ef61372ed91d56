"""Starts that must fail, and what they say: broken configuration, taken ports, unusable stores."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, __file__.rsplit("/bad/", 1)[0] + "/lib")
from broker import Broker, BrokerFailed, Wire, binary  # noqa: E402

# Text of the file, line:column of the complaint, a part of the complaint.
CONFIGS = [
    ("port: abc", "1:7", "port"),
    ("port: 70000", "1:7", "port"),
    ("port: -2", "1:7", "port"),
    ("prot: 4222", "1:1", 'unknown field "prot"'),
    ("port: 4222\nhots: x", "2:1", 'unknown field "hots"'),
    ("port:", "2:1", "Parse error"),
    ("port: [", "2:1", "Parse error"),
    ("jetstream {", "2:1", "Parse error"),
    ("jetstream { store_dri: x }", "1:13", 'unknown field "store_dri"'),
    ("jetstream { max_mem: lots }", "1:22", "max_mem"),
    ("jetstream: maybe", "1:12", "maybe"),
    ("jetstream { sync_interval: soon }", "1:28", "sync_interval"),
    ("max_payload: 1XB", "1:14", "max_payload"),
    ("max_connections: many", "1:18", "max_connections"),
    ('ping_interval: "two"', "1:16", "ping_interval"),
    ("write_deadline: -1s", "1:17", "Parse error"),
    ("debug: perhaps", "1:8", "debug"),
    ("include 'missing.conf'", "1:1", "missing.conf"),
    ("a = $NOWHERE", "1:5", "NOWHERE"),
    ("authorization { users: [ {user: a, password: b}, {user: a, password: c} ] }", "1:", "a"),
    ("authorization { token: x, user: a, password: b }", "1:", ""),
    ('authorization { users: [ {user: a, password: b, permissions: {publish: "a..b"}} ] }', "1:", "a..b"),
    ('authorization { users: [ {user: a, password: b, permissions: {publsh: "a"}} ] }', "1:", "publsh"),
    (
        "accounts { A: { users: [ {user: a, password: b} ] }, B: { users: [ {user: a, password: b} ] } }",
        "1:",
        "a",
    ),
    ("accounts: 5", "1:11", "accounts"),
    ("accounts { A: { usres: [] } }", "1:17", "usres"),
    ("no_auth_user: nobody", "1:", "nobody"),
    ("system_account: NOPE", "1:", "NOPE"),
    ("cluster { name: c, routes: 5 }", "1:", ""),
    ("leafnodes { port: 7422 }", "1:", "leafnodes"),
    ("gateway { name: g }", "1:", "gateway"),
    ("mqtt { port: 1883 }", "1:", "mqtt"),
    ('a: "unfinished', "2:1", "Parse error"),
    ("port: 4222 host: x", "1:12", "Parse error"),
    ("x" * 100, "2:1", ""),
    ("\x00\x01\x02", "2:1", ""),
    ("lame_duck_duration: 1s", "1:", "lame_duck"),
]


class Start(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def run_broker(self, *args):
        done = subprocess.run(
            [binary(), *args], capture_output=True, text=True, timeout=30, cwd=self.folder, errors="replace"
        )
        return done.returncode, done.stdout + done.stderr

    def test_broken_configurations(self):
        """Exit code 1, FILE:LINE:COL: reason on stderr; -t says the same without starting anything."""
        file = self.folder / "broken.conf"
        for text, where, part in CONFIGS:
            for args in (["-c", "broken.conf"], ["-t", "-c", "broken.conf"]):
                with self.subTest(text[:70], check="-t" in args):
                    file.write_text(text + "\n")
                    code, out = self.run_broker(*args)
                    self.assertEqual(code, 1, out)
                    self.assertRegex(out, r"broken\.conf:%s" % where)
                    self.assertRegex(out, r"broken\.conf:\d+:\d+: ")
                    self.assertIn(part, out)
                    self.assertNotIn("Server is ready", out)

    def test_file_that_is_not_there(self):
        code, out = self.run_broker("-c", "absent.conf")
        self.assertEqual(code, 1)
        self.assertIn("absent.conf", out)

    def test_folder_as_configuration(self):
        code, out = self.run_broker("-c", str(self.folder))
        self.assertEqual(code, 1)
        self.assertIn(str(self.folder), out)

    def test_flags(self):
        for args, part in (
            (["--no_such_flag"], "no_such_flag"),
            (["-p"], "-p"),
            (["-p", "abc"], "abc"),
            (["-m", "99999"], "http_port is out of range"),
            (["--signal", "dance"], "dance"),
            (["-sl", "quit=not_a_pid"], "not_a_pid"),
            (["stray"], "stray"),
        ):
            with self.subTest(args):
                _, out = self.run_broker(*args)  # usage errors end with 0, as nats-server's do
                self.assertIn(part, out.strip().splitlines()[-1])
                self.assertNotIn("Server is ready", out)

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            code, out = self.run_broker("-a", "127.0.0.1", "-p", port)
            self.assertEqual(code, 1)
            self.assertIn(
                '[FTL] Error listening on port: 127.0.0.1:%s, "listen tcp 127.0.0.1:%s: ' % (port, port), out
            )
            self.assertIn("address already in use", out)
            code, out = self.run_broker("-a", "127.0.0.1", "-p", "-1", "-m", port)
            self.assertEqual(code, 1)
            self.assertIn("[FTL]", out)
            self.assertIn(port, out)

    def test_address_that_is_not_ours(self):
        code, out = self.run_broker("-a", "192.0.2.1", "-p", "0")
        self.assertEqual(code, 1)
        self.assertIn("[FTL]", out)

    def test_store_is_a_file(self):
        file = self.folder / "store"
        file.write_text("not a folder")
        code, out = self.run_broker("-a", "127.0.0.1", "-p", "-1", "-js", "-sd", str(file))
        self.assertEqual(code, 1)
        self.assertIn("[FTL] Can't start JetStream: ", out)
        self.assertIn("storage directory is not a directory", out)

    def test_store_below_a_file(self):
        (self.folder / "file").write_text("x")
        code, out = self.run_broker(
            "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", str(self.folder / "file" / "store")
        )
        self.assertEqual(code, 1)
        self.assertIn("[FTL] Can't start JetStream: ", out)

    @unittest.skipIf(os.geteuid() == 0, "root may write everywhere")
    def test_store_not_writable(self):
        (self.folder / "ro").mkdir(mode=0o555)
        code, out = self.run_broker("-a", "127.0.0.1", "-p", "-1", "-js", "-sd", str(self.folder / "ro"))
        self.assertEqual(code, 1)
        self.assertIn("[FTL] Can't start JetStream: ", out)

    def test_store_in_use(self):
        with Broker() as first:
            with self.assertRaises(BrokerFailed) as e, Broker() as second:
                second.stop()
                second.config.write_text(
                    second.config.read_text().replace(str(second.store), str(first.store))
                )
                second.start()
            self.assertEqual(e.exception.code, 1)
            self.assertRegex(e.exception.text, r"\[FTL\] Can't start JetStream: .*(in use|lock)")
            with Wire(first) as wire:
                self.assertEqual(wire.ping(), [])

    def test_stop_removes_ports_file_and_frees_the_port(self):
        with Broker() as broker:
            broker.fix_port()
            self.assertEqual(broker.stop() in (0, 1), True)
            self.assertEqual(list(broker.folder.glob("*.ports")), [])
            for _ in range(3):
                broker.start()
                with Wire(broker) as wire:
                    wire.ping()
                    broker.stop()

    def test_version_and_help(self):
        code, out = self.run_broker("--version")
        self.assertEqual(code, 0)
        self.assertRegex(out.splitlines()[0], r"v?2\.\d+\.\d+")
        code, out = self.run_broker("--help")
        self.assertEqual(code, 0)
        self.assertTrue(re.search(r"--config", out))


if __name__ == "__main__":
    unittest.main(verbosity=1)
