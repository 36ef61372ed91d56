"""kill -9 under load: nothing acknowledged is lost, nothing stored twice, no sequence is missing.

Publishers send with message ids and, after a kill, send what was not acknowledged again under the same
id. A consumer takes messages with confirmed acknowledgements; a key-value counter is raised with compare
and set. The broker is killed at random moments and started again on the same store. At the end the
stream is read from 1 and compared with what clients were promised.

Run by tools/killtest. Needs nats-py. Prints a table and "N violations"; exit 1 if N > 0.
"""

import argparse
import asyncio
import logging
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../conformance/lib"))
from broker import Broker  # noqa: E402

import nats  # noqa: E402
import nats.errors  # noqa: E402
import nats.js.errors  # noqa: E402
from nats.js.api import AckPolicy, ConsumerConfig, KeyValueConfig, StreamConfig  # noqa: E402

FAILURES = (nats.errors.Error, nats.js.errors.Error, asyncio.TimeoutError, ConnectionError, OSError)
STREAM = "LOAD"
WINDOW = 16  # publishes that one publisher has under way


class Promises:
    """What the broker told its clients."""

    def __init__(self):
        self.acked = {}  # message id -> sequence
        self.sent = set()
        self.retries = 0
        self.confirmed = set()  # sequences whose acknowledgement the broker confirmed
        self.redelivered = 0
        self.counter = 0
        self.violations = []

    def broken(self, text):
        self.violations.append(text)
        print("VIOLATION: " + text, flush=True)


async def connect(broker):
    async def quiet(_):
        pass

    return await nats.connect(
        broker.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=quiet, pending_size=64 << 20
    )


async def publish_one(js, promises, subject, message_id, size):
    promises.sent.add(message_id)
    body = (message_id + " ").encode().ljust(size, b"x")
    while True:
        try:
            ack = await js.publish(subject, body, timeout=1.0, headers={"Nats-Msg-Id": message_id})
            break
        except FAILURES:
            promises.retries += 1
            await asyncio.sleep(0.02)
    promises.acked[message_id] = ack.seq


async def publisher(broker, promises, number, stop, rng):
    nc = await connect(broker)
    js = nc.jetstream(timeout=1.0)
    under_way = set()
    i = 0
    while not stop.is_set():
        i += 1
        size = rng.choice((16, 128, 1024, 20000)) if rng.random() < 0.2 else 100
        under_way.add(
            asyncio.create_task(publish_one(js, promises, "load.%d" % number, "p%d-%d" % (number, i), size))
        )
        if len(under_way) >= WINDOW:
            _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    if under_way:
        await asyncio.wait(under_way)
    await nc.close()


async def consumer(broker, promises, stop):
    nc = await connect(broker)
    js = nc.jetstream(timeout=1.0)
    sub = await js.pull_subscribe("load.>", "worker", stream=STREAM)
    while not stop.is_set():
        try:
            for m in await sub.fetch(20, timeout=0.5):
                seq = m.metadata.sequence.stream
                if m.metadata.num_delivered > 1:
                    promises.redelivered += 1
                if seq in promises.confirmed:
                    promises.broken("message %d came again after its acknowledgement was confirmed" % seq)
                await m.ack_sync(timeout=1.0)
                promises.confirmed.add(seq)
        except FAILURES:
            await asyncio.sleep(0.05)
    await nc.close()


async def counter(broker, promises, stop):
    """The only writer of its key: a value once confirmed is a lower bound of every later one."""
    nc = await connect(broker)
    js = nc.jetstream(timeout=1.0)
    kv = await js.key_value("COUNT")
    while not stop.is_set():
        try:
            entry = await kv.get("n")
            value = int(entry.value)
            if value < promises.counter:
                promises.broken("counter went back from %d to %d" % (promises.counter, value))
            await kv.update("n", str(value + 1).encode(), last=entry.revision)
            promises.counter = value + 1
        except FAILURES:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.01)
    await nc.close()


async def set_up(broker):
    nc = await connect(broker)
    js = nc.jetstream(timeout=1.0)
    await js.add_stream(StreamConfig(name=STREAM, subjects=["load.>"], duplicate_window=3600))
    await js.add_consumer(
        STREAM,
        ConsumerConfig(
            durable_name="worker", ack_policy=AckPolicy.EXPLICIT, ack_wait=2, max_ack_pending=1000
        ),
    )
    kv = await js.create_key_value(KeyValueConfig(bucket="COUNT", history=1))
    await kv.put("n", b"0")
    await nc.close()


async def read_back(broker, promises):
    """Every message from sequence 1: (sequence -> id), read by a fresh consumer."""
    nc = await connect(broker)
    js = nc.jetstream(timeout=1.0)
    info = await js.stream_info(STREAM)
    sub = await js.pull_subscribe("load.>", stream=STREAM, config=ConsumerConfig(ack_policy=AckPolicy.NONE))
    stored = {}
    while len(stored) < info.state.messages:
        try:
            batch = await sub.fetch(500, timeout=10)
        except asyncio.TimeoutError:
            promises.broken("reading back stopped at %d of %d messages" % (len(stored), info.state.messages))
            break
        for m in batch:
            message_id = m.headers["Nats-Msg-Id"]
            stored[m.metadata.sequence.stream] = message_id
            if not m.data.startswith(message_id.encode() + b" "):
                promises.broken("message %s has the body of another" % message_id)
    worker = await js.consumer_info(STREAM, "worker")
    await nc.close()
    return info, stored, worker


def judge(promises, info, stored, worker):
    state = info.state
    if (state.first_seq, state.last_seq) != (1, len(stored)):
        promises.broken("stream says %d..%d, read %d" % (state.first_seq, state.last_seq, len(stored)))
    gaps = [s for s in range(1, state.last_seq + 1) if s not in stored]
    if gaps:
        promises.broken("%d sequences missing, first %d" % (len(gaps), gaps[0]))
    by_id = {}
    for seq, message_id in stored.items():
        if message_id in by_id:
            promises.broken("%s stored twice: %d and %d" % (message_id, by_id[message_id], seq))
        by_id[message_id] = seq
        if message_id not in promises.sent:
            promises.broken("%s was never sent" % message_id)
    for message_id, seq in promises.acked.items():
        if by_id.get(message_id) != seq:
            promises.broken("%s acknowledged as %d, stored as %s" % (message_id, seq, by_id.get(message_id)))
    if worker.ack_floor.stream_seq and promises.confirmed:
        lost = [s for s in promises.confirmed if s > worker.delivered.stream_seq]
        if lost:
            promises.broken("%d confirmed acknowledgements are forgotten" % len(lost))


async def cycles(broker, options, promises, rng):
    stop = asyncio.Event()
    tasks = [
        asyncio.create_task(publisher(broker, promises, n, stop, random.Random(rng.random())))
        for n in range(options.publishers)
    ]
    tasks += [
        asyncio.create_task(consumer(broker, promises, stop)),
        asyncio.create_task(counter(broker, promises, stop)),
    ]
    print(
        "%5s %8s %9s %9s %9s %11s %8s"
        % ("cycle", "up ms", "restart", "acked", "retries", "redelivered", "counter")
    )
    for cycle in range(1, options.cycles + 1):
        up = rng.uniform(0.05, options.up)
        await asyncio.sleep(up)
        broker.kill()
        began = time.monotonic()
        await asyncio.get_running_loop().run_in_executor(None, broker.start)
        took = time.monotonic() - began
        acked = len(promises.acked)
        print(
            "%5d %8.0f %7.0f ms %7d %9d %11d %8d"
            % (cycle, up * 1e3, took * 1e3, acked, promises.retries, promises.redelivered, promises.counter),
            flush=True,
        )
        waited = time.monotonic()
        while len(promises.acked) == acked:
            await asyncio.sleep(0.02)
            if time.monotonic() - waited > 20:
                promises.broken("no publish succeeds 20 s after restart %d" % cycle)
                break
            for t in tasks:
                if t.done() and t.exception():
                    raise t.exception()
    stop.set()
    done, late = await asyncio.wait(tasks, timeout=30)
    for t in done:
        t.result()
    for t in late:
        promises.broken("a client does not finish within 30 s")
        t.cancel()


async def run(options):
    rng = random.Random(options.seed)
    promises = Promises()
    with Broker() as broker:
        broker.fix_port()
        print("seed %d, store %s" % (options.seed, broker.store))
        await set_up(broker)
        await cycles(broker, options, promises, rng)
        info, stored, worker = await read_back(broker, promises)
        judge(promises, info, stored, worker)
        if promises.violations and options.keep:
            broker.own_folder = False
            print("kept: %s" % broker.folder)
    print(
        "%d kills, %d acknowledged, %d stored, %d confirmed deliveries, counter %d: %d violations"
        % (
            options.cycles,
            len(promises.acked),
            len(stored),
            len(promises.confirmed),
            promises.counter,
            len(promises.violations),
        )
    )
    return 1 if promises.violations else 0


def main():
    parser = argparse.ArgumentParser(prog="tools/killtest", description=__doc__.split("\n")[0])
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--publishers", type=int, default=4)
    parser.add_argument("--up", type=float, default=1.5, help="longest time between two kills, seconds")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="keep the store if something is wrong")
    options = parser.parse_args()
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    sys.exit(asyncio.run(run(options)))


if __name__ == "__main__":
    main()
