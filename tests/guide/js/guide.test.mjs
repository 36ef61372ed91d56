// nats.js on the cluster that GUIDE_URL names: publish, consume, replay. Run beside nats.js's node_modules.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect } from "@nats-io/transport-node";
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";

let nc, js, jsm;
const options = { timeout: 20_000 };

before(async () => {
  nc = await connect({ servers: process.env.GUIDE_URL.split(","), maxReconnectAttempts: -1 });
  js = jetstream(nc, options);
  jsm = await jetstreamManager(nc, options);
  for await (const name of jsm.streams.names()) await jsm.streams.delete(name);
  await jsm.streams.add({ name: "EVENTS", subjects: ["events.>"], num_replicas: 3, max_age: 7 * 86400 * 1e9 });
});
after(() => nc.close());

test("a publish is acknowledged, the same message id once", async () => {
  const first = await js.publish("events.user.signup", '{"user": 7}', { msgID: "signup-7" });
  const again = await js.publish("events.user.signup", '{"user": 7}', { msgID: "signup-7" });
  assert.deepEqual([first.seq, first.stream, again.seq, again.duplicate], [1, "EVENTS", 1, true]);
});

test("a pull consumer gets again what it hands back", async () => {
  for (let i = 0; i < 9; i++) await js.publish("events.order", String(i));
  await jsm.consumers.add("EVENTS", {
    durable_name: "worker", ack_policy: AckPolicy.Explicit, filter_subject: "events.order", max_deliver: 3,
  });
  const worker = await js.consumers.get("EVENTS", "worker");
  const seen = [];
  while (seen.length < 10) {
    for await (const m of await worker.fetch({ max_messages: 5, expires: 10_000 })) {
      seen.push(m.string());
      if (m.string() === "4" && !m.redelivered) m.nak();
      else assert.equal(await m.ackAck(), true);
      if (seen.length === 10) break;
    }
  }
  assert.deepEqual(seen.sort(), ["0", "1", "2", "3", "4", "4", "5", "6", "7", "8"]);
});

test("replay from the beginning and from a sequence", async () => {
  const first = async (config) => {
    const ordered = await js.consumers.get("EVENTS", config);
    const m = await ordered.next({ expires: 10_000 });
    return m.seq;
  };
  assert.equal(await first({ deliver_policy: DeliverPolicy.All }), 1);
  assert.equal(await first({ deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: 5 }), 5);
  assert.equal(await first({ deliver_policy: DeliverPolicy.Last }), 10);
});

test("all replicas are current", async () => {
  for (const until = Date.now() + 20_000; ;) {
    const { cluster } = await jsm.streams.info("EVENTS");
    if (cluster.leader && cluster.replicas.filter((r) => r.current && !r.lag).length === 2) return;
    assert.ok(Date.now() < until, JSON.stringify(cluster));
  }
});
