"""One broker process for one test: own folder, free port, stopped by its process id.

The binary is $WEIR_BROKER, or the newest of build/*/bin/weir-broker. $WEIR_PEER (a nats-server binary)
makes Broker(peer=True) possible, for tests that compare both. Standard library only.
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

ROOT = pathlib.Path(__file__).resolve().parents[3]
START_S = 30.0
STOP_S = 20.0
SKIPPED = 77  # ctest's SKIP_RETURN_CODE in these suites


def binary():
    named = os.environ.get("WEIR_BROKER")
    if named:
        return named
    built = [p for p in ROOT.glob("build/*/bin/weir-broker") if p.is_file()]
    if not built:
        sys.exit("no weir-broker found: tools/build, or set WEIR_BROKER")
    return str(max(built, key=lambda p: p.stat().st_mtime))


def skip(reason):
    """Ends the whole suite as skipped; ctest prints the reason."""
    print("SKIPPED: " + reason)
    sys.exit(SKIPPED)


class BrokerFailed(Exception):
    """The process ended instead of becoming ready; text is what it wrote."""

    def __init__(self, code, text):
        super().__init__("exit code %s\n%s" % (code, text))
        self.code = code
        self.text = text


class Broker:
    """config: lines of the configuration beside host, port and JetStream (which is on unless
    jetstream=False; jetstream="..." gives the block's further keys)."""

    def __init__(self, config="", jetstream=True, monitor=False, folder=None, args=(), program=None):
        self.own_folder = folder is None
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="weir-test-"))
        self.store = self.folder / "store"
        self.config = self.folder / "broker.conf"
        self.log_path = self.folder / "broker.log"
        self.program = program or binary()
        self.args = list(args)
        self.process = None
        self.ports = {}
        text = "host: 127.0.0.1\nport: -1\nserver_name: test\n"
        if monitor:
            text += 'http: "127.0.0.1:-1"\n'
        if jetstream:
            more = jetstream if isinstance(jetstream, str) else ""
            text += 'jetstream {\n  store_dir: "%s"\n  max_mem: 256MB\n  max_file: 2GB\n  %s\n}\n' % (
                self.store,
                more,
            )
        self.config.write_text(text + config + "\n")

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        if self.own_folder and not os.environ.get("WEIR_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        with open(self.log_path, "ab") as log:
            before = log.tell()
            self.process = subprocess.Popen(
                [self.program, "-c", str(self.config), "--ports_file_dir", str(self.folder), *self.args],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        name = "%s_%d.ports" % (os.path.basename(self.program), self.process.pid)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            code = self.process.poll()
            if code is not None:
                raise BrokerFailed(code, self.log()[before:])
            try:
                self.ports = json.loads((self.folder / name).read_text())
                return self
            except (FileNotFoundError, json.JSONDecodeError):
                time.sleep(0.02)
        self.kill()
        raise BrokerFailed(None, "not ready after %d s\n%s" % (START_S, self.log()[before:]))

    @property
    def url(self):
        return self.ports["nats"][0]

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    @property
    def http(self):
        return self.ports["monitoring"][0]

    def get(self, path):
        """(status, body) of a monitoring page."""
        try:
            with urllib.request.urlopen(self.http + path, timeout=10) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_with(self, text, seconds=5):
        """The log, once it has `text`, or as it is after that many seconds. A client may see the end of its
        connection before the line about it is written."""
        until = time.monotonic() + seconds
        while text not in (log := self.log()) and time.monotonic() < until:
            time.sleep(0.01)
        return log

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9; the store stays."""
        if self.running():
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        for p in self.folder.glob("*.ports"):
            p.unlink()

    def stop(self):
        """SIGTERM and wait. Returns the exit code."""
        if self.process is None:
            return None
        if self.running():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise BrokerFailed(
                    None, "did not stop within %d s of SIGTERM\n%s" % (STOP_S, self.log()[-2000:])
                )
        return self.process.returncode

    def fix_port(self):
        """Later starts listen on the port of now, so that clients reconnect."""
        self.config.write_text(self.config.read_text().replace("port: -1", "port: %d" % self.port))

    def restart(self, hard=False):
        self.kill() if hard else self.stop()
        return self.start()


class Wire:
    """A client that speaks the protocol by hand."""

    def __init__(
        self,
        broker,
        connect='{"verbose":false,"headers":true,"no_responders":true,"protocol":1}',
        timeout=10.0,
    ):
        self.sock = socket.create_connection(("127.0.0.1", broker.port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.info = json.loads(self.line()[5:])
        self.sid = 0
        if connect is not None:
            self.send(b"CONNECT " + connect.encode() + b"\r\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def line(self):
        """Next line without its end; "" when the broker has closed."""
        while b"\r\n" not in self.buffer:
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                rest, self.buffer = self.buffer, b""
                return rest.decode("latin-1")
            self.buffer += more
        out, self.buffer = self.buffer.split(b"\r\n", 1)
        return out.decode("latin-1")

    def body(self, size):
        while len(self.buffer) < size + 2:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError
            self.buffer += more
        out, self.buffer = self.buffer[:size], self.buffer[size + 2 :]
        return out

    def ping(self):
        """Lines that came before the PONG; the last one is "" if the broker closed instead."""
        self.send(b"PING\r\n")
        return self.until("PONG")

    def until(self, word):
        seen = []
        while True:
            line = self.line()
            if line == word:
                return seen
            seen.append(line)
            if line == "":
                return seen

    def message(self):
        """(subject, reply, headers, payload) of the next message; other lines are skipped."""
        while True:
            words = self.line().split(" ")
            if words[0] == "MSG":
                size = int(words[-1])
                return words[1], words[3] if len(words) == 5 else "", b"", self.body(size)
            if words[0] == "HMSG":
                head, total = int(words[-2]), int(words[-1])
                data = self.body(total)
                return words[1], words[3] if len(words) == 6 else "", data[:head], data[head:]
            if words == [""]:
                raise EOFError("closed by the broker")
            if words[0] == "PING":
                self.send(b"PONG\r\n")

    def request(self, subject, payload=b"", headers=b""):
        """One reply: (headers, payload)."""
        self.sid += 1
        inbox = "_INBOX.wire.%d" % self.sid
        self.send(b"SUB %s %d\r\nUNSUB %d 1\r\n" % (inbox.encode(), self.sid, self.sid))
        if isinstance(payload, str):
            payload = payload.encode()
        if headers:
            self.send(
                b"HPUB %s %s %d %d\r\n%s%s\r\n"
                % (
                    subject.encode(),
                    inbox.encode(),
                    len(headers),
                    len(headers) + len(payload),
                    headers,
                    payload,
                )
            )
        else:
            self.send(b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), inbox.encode(), len(payload), payload))
        _, _, head, body = self.message()
        return head, body

    def api(self, subject, body=None):
        """A JetStream API request; the reply as a dict."""
        data = json.dumps(body).encode() if body is not None else b""
        return json.loads(self.request("$JS.API." + subject, data)[1])

    def close(self):
        self.sock.close()
