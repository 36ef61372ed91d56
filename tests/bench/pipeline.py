"""A NATS client for many requests at once: one connection, one wildcard inbox, answers by number. asyncio only."""

import asyncio
import json


class Gone(Exception):
    """The connection is lost."""


class Client(asyncio.Protocol):
    def __init__(self):
        self.buffer = b""
        self.waiting = {}
        self.count = 0
        self.lost = False
        self.ready = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(cls, port, timeout=5.0):
        """OSError or TimeoutError when there is no server."""
        loop = asyncio.get_running_loop()
        _, c = await asyncio.wait_for(loop.create_connection(cls, "127.0.0.1", port), timeout)
        options = {"verbose": False, "headers": True, "no_responders": True, "name": "scale"}
        c.prefix = b"_INBOX.scale%x." % id(c)
        c.transport.write(b"CONNECT %s\r\nSUB %s* 1\r\nPING\r\n" % (json.dumps(options).encode(), c.prefix))
        try:
            await asyncio.wait_for(c.ready, timeout)
        except Gone as e:
            raise OSError(str(e))
        return c

    def close(self):
        self.transport.close()

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, _):
        self.lost = True
        for future in [self.ready, *self.waiting.values()]:
            if not future.done():
                future.set_exception(Gone("connection lost"))
                future.exception()  # those that nobody waits for any more are not reported
        self.waiting.clear()

    def data_received(self, data):
        self.buffer += data
        at = 0
        while True:
            end = self.buffer.find(b"\r\n", at)
            if end < 0:
                break
            line = self.buffer[at:end]
            if line.startswith((b"MSG ", b"HMSG ")):
                words = line.split()
                total = int(words[-1])
                if len(self.buffer) < end + 4 + total:
                    break
                header = int(words[-2]) if line[0:1] == b"H" else 0
                body = self.buffer[end + 2 : end + 2 + total]
                self._answer(words[1], body[:header], body[header:])
                at = end + 4 + total
                continue
            at = end + 2
            if line == b"PING":
                self.transport.write(b"PONG\r\n")
            elif line == b"PONG" and not self.ready.done():
                self.ready.set_result(None)
            elif line.startswith(b"-ERR") and not self.ready.done():
                self.ready.set_exception(Gone(line.decode()))
        self.buffer = self.buffer[at:]

    def _answer(self, subject, header, body):
        future = self.waiting.pop(subject[len(self.prefix) :], None)
        if future and not future.done():
            future.set_result((header, body))

    async def request(self, subject, body=b"", timeout=5.0):
        """(header, body) of the answer; TimeoutError, or Gone."""
        if self.lost:
            raise Gone("connection lost")
        self.count += 1
        number = b"%d" % self.count
        future = asyncio.get_running_loop().create_future()
        self.waiting[number] = future
        head = b"PUB %s %s%s %d\r\n" % (subject.encode(), self.prefix, number, len(body))
        self.transport.write(head + body + b"\r\n")
        try:
            return await asyncio.wait_for(future, timeout)
        finally:
            self.waiting.pop(number, None)

    async def api(self, verb, body=None, timeout=5.0):
        """JetStream API: the decoded answer; without one {"error": ...}, too."""
        try:
            text = json.dumps(body).encode() if body is not None else b""
            header, answer = await self.request("$JS.API." + verb, text, timeout)
            return json.loads(answer) if answer else {"error": {"description": header[:40].decode().strip()}}
        except (asyncio.TimeoutError, Gone) as e:
            return {"error": {"description": str(e) or "timeout"}}

    async def publish(self, subject, body, timeout=2.0):
        """True when acknowledged."""
        try:
            _, answer = await self.request(subject, body, timeout)
        except (asyncio.TimeoutError, Gone):
            return False
        return b'"seq"' in answer and b'"error"' not in answer
