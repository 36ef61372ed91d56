"""A NATS client as plain as can be: one socket, one thread, bound to one node. Standard library only."""

import json
import socket
import time


class WireError(Exception):
    pass


class Message:
    __slots__ = ("subject", "reply", "head", "body")

    def __init__(self, subject, reply, head, body):
        self.subject, self.reply, self.head, self.body = subject, reply, head, body

    @property
    def status(self):
        """Of the header: "" for a message, else e.g. "503"."""
        return self.head[9:12].decode() if self.head[:9] == b"NATS/1.0 " else ""

    def headers(self):
        out = {}
        for line in self.head.split(b"\r\n")[1:]:
            key, colon, value = line.partition(b":")
            if colon:
                out[key.decode()] = value.strip().decode()
        return out


class Wire:
    def __init__(self, host, port=4222, timeout=2.0, user=None):
        self.inboxes = 0
        self.buffer = b""
        self.at = 0
        try:
            self.socket = socket.create_connection((host, port), timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.deadline = time.monotonic() + timeout
            options = {"verbose": False, "headers": True, "no_responders": True, "lang": "chaos"}
            if user:
                options["user"] = options["pass"] = user
            self._line()  # INFO
            self.send(b"CONNECT %s\r\nPING\r\n" % json.dumps(options).encode())
            while True:
                line = self._line()
                if line == b"PONG":
                    break
                if line.startswith(b"-ERR"):
                    raise WireError(line.decode())
        except OSError as e:
            raise WireError(str(e))
        self.prefix = "_INBOX.chaos%x" % id(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError as e:
            raise WireError(str(e))

    def _more(self):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise WireError("timeout")
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(1 << 18)
        except OSError as e:
            raise WireError("timeout" if isinstance(e, TimeoutError) else str(e))
        if not data:
            raise WireError("closed")
        self.buffer = self.buffer[self.at :] + data
        self.at = 0

    def _line(self):
        while True:
            end = self.buffer.find(b"\r\n", self.at)
            if end >= 0:
                line = self.buffer[self.at : end]
                self.at = end + 2
                return line
            self._more()

    def _bytes(self, n):
        while len(self.buffer) - self.at < n + 2:
            self._more()
        data = self.buffer[self.at : self.at + n]
        self.at += n + 2
        return data

    def message(self):
        """The next message; answers PINGs. WireError("timeout") at the deadline."""
        while True:
            line = self._line()
            if line.startswith(b"HMSG "):
                t = line.split()
                reply = t[3].decode() if len(t) == 6 else ""
                head, total = int(t[-2]), int(t[-1])
                data = self._bytes(total)
                return Message(t[1].decode(), reply, data[:head], data[head:])
            if line.startswith(b"MSG "):
                t = line.split()
                reply = t[3].decode() if len(t) == 5 else ""
                return Message(t[1].decode(), reply, b"", self._bytes(int(t[-1])))
            if line == b"PING":
                self.send(b"PONG\r\n")
            elif line.startswith(b"-ERR"):
                raise WireError(line.decode())

    def ask(self, subject, body=b"", timeout=2.0):
        """Sends a request; the answers are read with message(). Returns the inbox."""
        self.inboxes += 1
        inbox = "%s.%d" % (self.prefix, self.inboxes)
        self.deadline = time.monotonic() + timeout
        head = "SUB %s %d\r\nPUB %s %s %d\r\n" % (inbox, self.inboxes, subject, inbox, len(body))
        self.send(head.encode() + body + b"\r\n")
        return inbox

    def done(self):
        self.send(b"UNSUB %d\r\n" % self.inboxes)

    def request(self, subject, body=b"", timeout=2.0):
        """One request, one answer."""
        inbox = self.ask(subject, body, timeout)
        while True:
            m = self.message()
            if m.subject == inbox:
                self.done()
                return m

    def api(self, verb, body=None, timeout=2.0):
        """JetStream API: the decoded answer. WireError without an answer, also for 503."""
        text = json.dumps(body).encode() if body is not None else b""
        m = self.request("$JS.API." + verb, text, timeout)
        if m.status:
            raise WireError("status " + m.status)
        return json.loads(m.body)
