// nats.js against the broker: core, JetStream through both APIs, key-value.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, headers } from "@nats-io/transport-node";
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Broker } from "./broker.mjs";

let broker, nc;
beforeEach(async () => {
  broker = await Broker.start();
  nc = await connect({ servers: broker.servers, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
});
afterEach(async () => {
  await nc.close();
  await broker.stop();
});

async function take(iterable, count) {
  const out = [];
  for await (const m of iterable) if (out.push(m) === count) break;
  return out;
}

test("publish, subscribe, queue groups, headers", async () => {
  const plain = nc.subscribe("a.*");
  const one = nc.subscribe("a.>", { queue: "q" });
  const two = nc.subscribe("a.>", { queue: "q" });
  const h = headers();
  h.append("X", "1");
  h.append("X", "2");
  nc.publish("a.b", "hello", { headers: h });
  await nc.flush();
  const [m] = await take(plain, 1);
  assert.equal(m.string(), "hello");
  assert.deepEqual(m.headers.values("X"), ["1", "2"]);
  assert.equal(one.getReceived() + two.getReceived(), 1);
});

test("request, reply, no responders", async () => {
  nc.subscribe("echo", { callback: (_, m) => m.respond(m.data) });
  assert.equal((await nc.request("echo", "x", { timeout: 5000 })).string(), "x");
  await assert.rejects(nc.request("nobody", "x", { timeout: 5000 }), /no responders/i);
  const many = [];
  const replies = await nc.requestMany("echo", "y", { maxMessages: 1, maxWait: 5000 });
  for await (const m of replies) many.push(m.string());
  assert.deepEqual(many, ["y"]);
});

test("publishing to a stream", async () => {
  const jsm = await jetstreamManager(nc);
  const js = jetstream(nc);
  await jsm.streams.add({ name: "ORDERS", subjects: ["orders.*"] });
  const first = await js.publish("orders.a", "1", { msgID: "m1" });
  const again = await js.publish("orders.a", "1", { msgID: "m1" });
  assert.deepEqual([first.seq, first.duplicate, again.seq, again.duplicate], [1, false, 1, true]);
  const expecting = (expect) => js.publish("orders.a", "2", { expect });
  await assert.rejects(expecting({ lastSequence: 7 }), /wrong last sequence: 1/);
  await assert.rejects(expecting({ streamName: "X" }), /expected stream does not match/);
  assert.equal((await js.publish("orders.b", "2", { expect: { lastSequence: 1 } })).seq, 2);
  assert.equal((await jsm.streams.getMessage("ORDERS", { seq: 2 })).string(), "2");
  assert.equal((await jsm.streams.getMessage("ORDERS", { last_by_subj: "orders.a" })).seq, 1);
  const info = await jsm.streams.info("ORDERS", { subjects_filter: ">" });
  assert.deepEqual(info.state.subjects, { "orders.a": 1, "orders.b": 1 });
  assert.equal(await jsm.streams.deleteMessage("ORDERS", 1), true);
  assert.equal((await jsm.streams.purge("ORDERS")).purged, 1);
  assert.deepEqual(await take(jsm.streams.names(), 1), ["ORDERS"]);
  const account = await jsm.getAccountInfo();
  assert.equal(account.streams, 1);
  assert.equal(await jsm.streams.delete("ORDERS"), true);
});

test("consume, fetch, next, nak, term", async () => {
  const jsm = await jetstreamManager(nc);
  const js = jetstream(nc);
  await jsm.streams.add({ name: "S", subjects: ["s.*"] });
  for (let i = 1; i <= 30; i++) await js.publish("s.x", String(i));
  await jsm.consumers.add("S", { durable_name: "D", ack_policy: AckPolicy.Explicit });
  const c = await js.consumers.get("S", "D");
  let m = await c.next({ expires: 5000 });
  assert.equal(m.seq, 1);
  m.nak();
  m = await c.next({ expires: 5000 });
  assert.deepEqual([m.seq, m.info.deliveryCount], [1, 2]);
  m.term("enough");
  const some = await c.fetch({ max_messages: 9, expires: 5000 });
  for await (const x of some) assert.ok(await x.ackAck());
  const rest = await c.consume({ max_messages: 7 });
  const seen = [];
  for await (const x of rest) {
    seen.push(x.seq);
    x.ack();
    if (seen.length === 20) break;
  }
  assert.deepEqual(seen, Array.from({ length: 20 }, (_, i) => i + 11));
  await nc.flush();
  for (let i = 0; i < 50 && (await c.info()).num_ack_pending > 0; i++) await sleep(20);
  const info = await c.info();
  assert.deepEqual([info.num_pending, info.num_ack_pending, info.ack_floor.stream_seq], [0, 0, 30]);
});

test("ordered consumer sees all over a kill -9", async () => {
  const jsm = await jetstreamManager(nc);
  const js = jetstream(nc);
  await jsm.streams.add({ name: "S", subjects: ["s.*"] });
  for (let i = 1; i <= 20; i++) await js.publish("s.x", String(i));
  const c = await js.consumers.get("S", { deliver_policy: DeliverPolicy.All });
  const messages = await c.consume({ max_messages: 5, expires: 2000, idle_heartbeat: 500 });
  const seen = [];
  const reading = (async () => {
    for await (const m of messages) {
      seen.push(m.seq);
      if (m.seq === 20) break;
      if (m.seq === 8) broker.crashAndRestart();
    }
  })();
  await reading;
  assert.deepEqual(seen, Array.from({ length: 20 }, (_, i) => i + 1));
});

test("push consumer", async () => {
  const jsm = await jetstreamManager(nc);
  const js = jetstream(nc);
  await jsm.streams.add({ name: "S", subjects: ["s.*"] });
  await jsm.consumers.add("S", {
    durable_name: "P", ack_policy: AckPolicy.Explicit, deliver_subject: "deliver.p", idle_heartbeat: 1e9,
    flow_control: true,
  });
  const c = await js.consumers.getPushConsumer("S", "P");
  const messages = await c.consume();
  for (let i = 1; i <= 50; i++) await js.publish("s.x", String(i));
  const got = await take((async function* () {
    for await (const m of messages) {
      m.ack();
      yield m.seq;
    }
  })(), 50);
  assert.equal(got.at(-1), 50);
});

test("key-value: put, get, create, update, watch, history, delete", async () => {
  const kv = await new Kvm(nc).create("B", { history: 5 });
  assert.equal(await kv.put("a.b", "1"), 1);
  assert.equal((await kv.get("a.b")).string(), "1");
  await assert.rejects(kv.create("a.b", "x"), /wrong last sequence/);
  assert.equal(await kv.update("a.b", "2", 1), 2);
  await assert.rejects(kv.update("a.b", "3", 1), /wrong last sequence/);
  const watcher = await kv.watch();
  const seen = [];
  const watching = (async () => {
    for await (const e of watcher) {
      seen.push([e.key, e.operation, e.revision]);
      if (e.operation === "DEL") break;
    }
  })();
  await kv.put("c", "x");
  await kv.delete("a.b");
  await watching;
  assert.deepEqual(seen, [["a.b", "PUT", 2], ["c", "PUT", 3], ["a.b", "DEL", 4]]);
  assert.deepEqual(await take(await kv.keys(), 1), ["c"]);
  assert.equal((await take(await kv.history({ key: "a.b" }), 3)).length, 3);
  await broker.crashAndRestart();
  const fresh = await connect({ servers: broker.servers });  // what was under way on the old one is lost
  const after = await new Kvm(fresh).open("B");
  assert.equal((await after.get("c")).string(), "x");
  await after.purge("a.b");
  const status = await after.status();
  await fresh.close();
  assert.equal(status.values, 2);
});
