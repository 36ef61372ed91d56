"""nats-py against the broker: the programs that guides show, pull and push, headers, key-value."""

import asyncio
import ssl
import sys
import unittest

sys.path.insert(0, __file__.rsplit("/py/", 1)[0] + "/lib")
from broker import Broker  # noqa: E402
from certificates import Authority  # noqa: E402

import nats  # noqa: E402
from nats.aio.client import Client as NATS  # noqa: E402
from nats.errors import NoRespondersError, TimeoutError as NatsTimeout  # noqa: E402
from nats.js.api import (  # noqa: E402
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    KeyValueConfig,
    RetentionPolicy,
    StreamConfig,
)
from nats.js.errors import (
    APIError,
    BucketNotFoundError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NotFoundError,
)  # noqa: E402

RECONNECT = dict(max_reconnect_attempts=-1, reconnect_time_wait=0.05)


class WithBroker(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.broker = Broker().start()
        self.addCleanup(self.broker.__exit__)
        self.nc = await nats.connect(self.broker.url, **RECONNECT)
        self.js = self.nc.jetstream()
        self.addAsyncCleanup(self.nc.close)

    async def again(self):
        """kill -9, start, and a fresh connection: what was under way on the old one is lost."""
        self.broker.fix_port()
        self.broker.restart(hard=True)
        nc = await nats.connect(self.broker.url, **RECONNECT)
        self.addAsyncCleanup(nc.close)
        return nc.jetstream()


class Guide(WithBroker):
    async def test_publish_messages(self):
        nc = NATS()
        await nc.connect(self.broker.url)
        js = nc.jetstream()
        await js.add_stream(name="EVENTS", subjects=["events.>"])
        ack = await js.publish("events.user.signup", b'{"user_id": 123}')
        self.assertEqual((ack.seq, ack.stream), (1, "EVENTS"))
        await nc.close()


class Tls(unittest.IsolatedAsyncioTestCase):
    async def test_publish_over_tls(self):
        with Authority() as ca:
            pair = ca.issue("app", usage="clientAuth")
            server = ca.issue("server", usage="serverAuth")
            for more in ("", "verify: true", "handshake_first: true", "handshake_first: auto"):
                context = ssl.create_default_context(cafile=str(ca.ca))
                context.load_cert_chain(*map(str, pair))
                with Broker(ca.block(server, more)) as broker:
                    nc = await nats.connect(
                        "tls://localhost:%d" % broker.port,
                        tls=context,
                        tls_handshake_first=more == "handshake_first: true",
                    )
                    js = nc.jetstream()
                    await js.add_stream(name="S", subjects=["s"])
                    for size in (0, 1, 100_000, 1_000_000):
                        await js.publish("s", b"x" * size)
                    got = await js.get_msg("S", seq=4)
                    self.assertEqual(got.data, b"x" * 1_000_000)
                    await nc.close()


class Core(WithBroker):
    async def test_request_reply_headers(self):
        async def answer(m):
            await m.respond(m.data[::-1])

        await self.nc.subscribe("reverse", queue="q", cb=answer)
        reply = await self.nc.request("reverse", b"abc", timeout=5)
        self.assertEqual(reply.data, b"cba")
        with self.assertRaises(NoRespondersError):
            await self.nc.request("nobody", b"", timeout=5)
        sub = await self.nc.subscribe("h")
        await self.nc.publish("h", b"x", headers={"Some-Key": "some value"})
        self.assertEqual((await sub.next_msg(5)).headers["Some-Key"], "some value")


class Streams(WithBroker):
    async def test_ids_expectations_and_reading(self):
        await self.js.add_stream(name="S", subjects=["s.*"])
        one = await self.js.publish("s.a", b"1", headers={"Nats-Msg-Id": "x"})
        two = await self.js.publish("s.a", b"1", headers={"Nats-Msg-Id": "x"})
        self.assertEqual((one.seq, two.seq, one.duplicate, two.duplicate), (1, 1, None, True))
        with self.assertRaises(APIError) as e:
            await self.js.publish("s.a", b"2", headers={"Nats-Expected-Last-Sequence": "5"})
        self.assertEqual((e.exception.code, e.exception.err_code), (400, 10071))
        self.assertEqual((await self.js.get_msg("S", 1)).data, b"1")
        self.assertEqual((await self.js.get_last_msg("S", "s.a")).seq, 1)
        with self.assertRaises(NotFoundError):
            await self.js.get_msg("S", 2)
        self.assertTrue(await self.js.delete_msg("S", 1))
        await self.js.publish("s.b", b"2")
        self.assertTrue(await self.js.purge_stream("S"))
        info = await self.js.stream_info("S")
        self.assertEqual((info.state.messages, info.state.first_seq, info.state.last_seq), (0, 3, 2))
        self.assertEqual([s.config.name for s in await self.js.streams_info()], ["S"])
        account = await self.js.account_info()
        self.assertEqual(account.streams, 1)
        await self.js.delete_stream("S")

    async def test_async_publishing(self):
        await self.js.add_stream(name="S", subjects=["s.*"])
        acks = await asyncio.gather(*[self.js.publish("s.x", str(i).encode()) for i in range(500)])
        self.assertEqual(sorted(a.seq for a in acks), list(range(1, 501)))
        js = await self.again()
        self.assertEqual((await js.stream_info("S")).state.messages, 500)


class Consumers(WithBroker):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        await self.js.add_stream(name="S", subjects=["s.*"])
        for i in range(1, 21):
            await self.js.publish("s.even" if i % 2 == 0 else "s.odd", str(i).encode())

    async def test_pull(self):
        sub = await self.js.pull_subscribe("s.*", "D")
        first = await sub.fetch(5, timeout=5)
        self.assertEqual([m.metadata.sequence.stream for m in first], [1, 2, 3, 4, 5])
        await first[0].nak()
        for m in first[1:]:
            await m.ack_sync()
        (again,) = await sub.fetch(1, timeout=5)
        self.assertEqual((again.metadata.sequence.stream, again.metadata.num_delivered), (1, 2))
        await again.term()
        js = await self.again()
        sub = await js.pull_subscribe("s.*", "D")
        rest = await sub.fetch(100, timeout=1)
        self.assertEqual([m.metadata.sequence.stream for m in rest][-15:], list(range(6, 21)))
        for m in rest:
            await m.ack_sync()
        with self.assertRaises(NatsTimeout):
            await sub.fetch(1, timeout=0.3)

    async def test_fetch_with_heartbeats(self):
        sub = await self.js.pull_subscribe("s.*", "D")
        got = await sub.fetch(20, timeout=2, heartbeat=0.2)
        self.assertEqual(len(got), 20)
        with self.assertRaises(NatsTimeout):
            await sub.fetch(1, timeout=1, heartbeat=0.2)

    async def test_push(self):
        got = []
        done = asyncio.Event()

        async def take(m):
            got.append(m.metadata.sequence.stream)
            await m.ack()
            if len(got) == 20:
                done.set()

        sub = await self.js.subscribe("s.*", durable="P", cb=take, manual_ack=True)
        await asyncio.wait_for(done.wait(), 10)
        self.assertEqual(got, list(range(1, 21)))
        await sub.unsubscribe()

    async def test_ordered_and_starting_points(self):
        sub = await self.js.subscribe("s.odd", ordered_consumer=True)
        self.assertEqual(
            [(await sub.next_msg(5)).data for _ in range(10)], [str(i).encode() for i in range(1, 21, 2)]
        )
        for name, config, want in [
            ("seq", ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=7), 7),
            ("last", ConsumerConfig(deliver_policy=DeliverPolicy.LAST), 20),
            ("all", ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.ALL), 1),
        ]:
            sub = await self.js.pull_subscribe("s.*", name, config=config)
            (m,) = await sub.fetch(1, timeout=5)
            self.assertEqual(m.metadata.sequence.stream, want, name)
        info = await self.js.consumers_info("S")
        self.assertGreaterEqual({c.name for c in info}, {"seq", "last", "all"})
        self.assertTrue(await self.js.delete_consumer("S", "last"))


class Retention(WithBroker):
    async def messages(self):
        return (await self.js.stream_info("Q")).state.messages

    async def test_work_queue(self):
        await self.js.add_stream(name="Q", subjects=["q.>"], retention=RetentionPolicy.WORK_QUEUE)
        for i in range(1, 7):
            await self.js.publish("q.a" if i < 5 else "q.b", str(i).encode())
        # Several workers share one durable consumer.
        workers = [await self.js.pull_subscribe("q.a", "W") for _ in range(2)]
        done = []
        for sub in workers:
            for m in await sub.fetch(2, timeout=5):
                done.append(m.data)
                await m.ack_sync()
        self.assertEqual(sorted(done), [b"1", b"2", b"3", b"4"])
        self.assertEqual(await self.messages(), 2)
        with self.assertRaises(APIError) as e:
            await self.js.pull_subscribe("q.*", "X")
        self.assertEqual(e.exception.err_code, 10100)
        got = []

        async def take(m):
            got.append(m.data)
            await m.ack_sync()

        for _ in range(2):
            await self.js.subscribe("q.b", queue="G", durable="G", cb=take, manual_ack=True)
        for _ in range(100):
            if await self.messages() == 0:
                break
            await asyncio.sleep(0.05)
        self.assertEqual(sorted(got), [b"5", b"6"])
        self.assertEqual(await self.messages(), 0)

    async def test_interest(self):
        await self.js.add_stream(name="Q", subjects=["q.>"], retention=RetentionPolicy.INTEREST)
        self.assertEqual((await self.js.publish("q.a", b"lost")).seq, 1)
        subs = [await self.js.pull_subscribe("q.>", d) for d in ("A", "B")]
        for i in range(4):
            await self.js.publish("q.a", str(i).encode())
        for sub, left in zip(subs, (4, 1)):
            for m in (await sub.fetch(4, timeout=5))[: 4 if left == 4 else 3]:
                await m.ack_sync()
            self.assertEqual(await self.messages(), left)
        await self.js.delete_consumer("Q", "B")
        self.assertEqual(await self.messages(), 0)


class KeyValue(WithBroker):
    async def test_keys_watch_history_and_purge(self):
        kv = await self.js.create_key_value(bucket="B", history=3, max_value_size=100)
        for key, value in [("a.1", b"1"), ("b", b"2"), ("a.2", b"3"), ("a.1", b"4")]:
            await kv.put(key, value)
        watcher = await kv.watch("a.*")
        seen = []
        while (e := await watcher.updates(timeout=5)) is not None:
            seen.append((e.key, e.value, e.revision, e.delta))
        self.assertEqual(seen, [("a.2", b"3", 3, 1), ("a.1", b"4", 4, 0)])
        await kv.put("b", b"not seen")
        await kv.purge("a.1")
        e = await watcher.updates(timeout=5)
        self.assertEqual((e.key, e.operation), ("a.1", "PURGE"))
        await watcher.stop()
        self.assertEqual([h.operation for h in await kv.history("a.1")], ["PURGE"])
        self.assertEqual(sorted(await kv.keys()), ["a.2", "b"])
        self.assertEqual((await kv.get("b", revision=2)).value, b"2")
        with self.assertRaises(KeyNotFoundError):
            await kv.get("a.1")
        with self.assertRaises(APIError) as e:
            await kv.put("b", b"x" * 200)
        self.assertEqual(e.exception.err_code, 10054)
        self.assertEqual(await kv.create("a.1", b"new"), 7)
        with self.assertRaises(APIError) as e:
            await kv.delete("a.1", last=3)
        self.assertEqual(e.exception.err_code, 10071)
        await kv.delete("a.1", last=7)
        await kv.purge_deletes(olderthan=-1)
        self.assertEqual(sorted(await kv.keys()), ["a.2", "b"])
        self.assertTrue(await self.js.delete_key_value("B"))

    async def test_bucket(self):
        with self.assertRaises(BucketNotFoundError):
            await self.js.key_value("CFG")
        kv = await self.js.create_key_value(KeyValueConfig(bucket="CFG", history=5))
        self.assertEqual(await kv.put("a", b"1"), 1)
        self.assertEqual((await kv.get("a")).value, b"1")
        self.assertEqual(await kv.update("a", b"2", last=1), 2)
        with self.assertRaises(KeyWrongLastSequenceError):
            await kv.update("a", b"3", last=1)
        with self.assertRaises(KeyWrongLastSequenceError):
            await kv.create("a", b"x")
        watcher = await kv.watchall()
        first = await watcher.updates()
        self.assertEqual((first.key, first.value), ("a", b"2"))
        self.assertIsNone(await watcher.updates())
        await kv.delete("a")
        self.assertEqual((await watcher.updates()).operation, "DEL")
        with self.assertRaises(KeyNotFoundError):
            await kv.get("a")
        self.assertEqual(await kv.create("a", b"again"), 4)
        self.assertEqual(len(await kv.history("a")), 4)
        await kv.put("b", b"x")
        self.assertEqual(sorted(await kv.keys()), ["a", "b"])
        kv = await (await self.again()).key_value("CFG")
        self.assertEqual((await kv.get("a")).revision, 4)
        await kv.purge("a")
        self.assertEqual((await kv.status()).values, 2)

    async def test_plain_stream_as_bucket(self):
        """Buckets of other clients are streams with these settings."""
        await self.js.add_stream(
            StreamConfig(
                name="KV_X",
                subjects=["$KV.X.>"],
                max_msgs_per_subject=1,
                allow_rollup_hdrs=True,
                deny_delete=True,
                allow_direct=True,
            )
        )
        kv = await self.js.key_value("X")
        for i in range(5):
            await kv.put("k", str(i).encode())
        self.assertEqual((await kv.get("k")).value, b"4")
        self.assertEqual((await self.js.stream_info("KV_X")).state.messages, 1)


if __name__ == "__main__":
    unittest.main(verbosity=1)
