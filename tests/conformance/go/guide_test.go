// Programs of the shapes that JetStream guides show, with the classic API of nats.go.
package conformance

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func orders(t *testing.T, js nats.JetStreamContext) {
	t.Helper()
	_, err := js.AddStream(&nats.StreamConfig{
		Name:     "ORDERS",
		Subjects: []string{"orders.*"},
		Storage:  nats.FileStorage,
		Replicas: 1,
		MaxAge:   7 * 24 * time.Hour,
	})
	must(t, err)
}

func publish(t *testing.T, js nats.JetStreamContext, count int) {
	t.Helper()
	for i := 1; i <= count; i++ {
		_, err := js.Publish("orders.created", []byte(fmt.Sprintf(`{"id": %d}`, i)))
		must(t, err)
	}
}

func TestPublishOnce(t *testing.T) {
	nc := start(t).connect()
	js, err := nc.JetStream()
	must(t, err)
	orders(t, js)
	ack, err := js.Publish("orders.created", []byte(`{"id": 123, "total": 99.99}`))
	must(t, err)
	if ack.Sequence != 1 || ack.Stream != "ORDERS" || ack.Duplicate {
		t.Fatalf("%+v", ack)
	}
	for i := 0; i < 2; i++ {
		ack, err = js.Publish("orders.updated", []byte(`{}`), nats.MsgId("order-123-update-1"))
		must(t, err)
		if ack.Sequence != 2 || ack.Duplicate != (i == 1) {
			t.Fatalf("%d: %+v", i, ack)
		}
	}
	future, err := js.PublishAsync("orders.a", nil)
	must(t, err)
	select {
	case ack := <-future.Ok():
		if ack.Sequence != 3 {
			t.Fatalf("%+v", ack)
		}
	case err := <-future.Err():
		t.Fatal(err)
	}
	_, err = js.Publish("nowhere", nil)
	if !errors.Is(err, nats.ErrNoStreamResponse) {
		t.Fatal(err)
	}
}

func TestPullFetchAckNak(t *testing.T) {
	b := start(t)
	nc := b.connect()
	js, err := nc.JetStream()
	must(t, err)
	orders(t, js)
	publish(t, js, 20)
	sub, err := js.PullSubscribe("orders.*", "order-processor")
	must(t, err)
	msgs, err := sub.Fetch(10, nats.MaxWait(5*time.Second))
	must(t, err)
	if len(msgs) != 10 {
		t.Fatal(len(msgs))
	}
	must(t, msgs[0].Nak())
	for _, m := range msgs[1:] {
		must(t, m.AckSync())
	}
	again, err := sub.Fetch(1, nats.MaxWait(5*time.Second))
	must(t, err)
	meta, err := again[0].Metadata()
	must(t, err)
	if meta.Sequence.Stream != 1 || meta.NumDelivered != 2 || meta.NumPending != 10 {
		t.Fatalf("%+v", meta)
	}
	must(t, again[0].AckSync())

	b.crashAndRestart()
	js, err = b.connect().JetStream()
	must(t, err)
	sub, err = js.PullSubscribe("orders.*", "order-processor")
	must(t, err)
	msgs, err = sub.Fetch(100, nats.MaxWait(time.Second))
	must(t, err)
	if len(msgs) != 10 {
		t.Fatalf("%d messages after the restart", len(msgs))
	}
	_, err = sub.Fetch(1, nats.MaxWait(200*time.Millisecond))
	if !errors.Is(err, nats.ErrTimeout) {
		t.Fatal(err)
	}
}

func TestPushDurable(t *testing.T) {
	b := start(t)
	nc := b.connect()
	js, err := nc.JetStream()
	must(t, err)
	_, err = js.AddStream(&nats.StreamConfig{Name: "EVENTS", Subjects: []string{"events.*"}})
	must(t, err)
	got := make(chan uint64, 100)
	handler := func(m *nats.Msg) {
		meta, _ := m.Metadata()
		_ = m.AckSync()
		got <- meta.Sequence.Stream
	}
	sub, err := js.Subscribe("events.*", handler, nats.Durable("event-processor"), nats.ManualAck())
	must(t, err)
	next := func(want uint64) {
		t.Helper()
		select {
		case seq := <-got:
			if seq != want {
				t.Fatalf("got %d, want %d", seq, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("message %d does not come", want)
		}
	}
	for i := uint64(1); i <= 5; i++ {
		_, err = js.Publish("events.x", nil)
		must(t, err)
		next(i)
	}
	must(t, sub.Drain())
	_, err = js.Publish("events.x", nil)
	must(t, err)
	b.crashAndRestart()
	js, err = b.connect().JetStream()
	must(t, err)
	_, err = js.AddConsumer("EVENTS", &nats.ConsumerConfig{Durable: "second", DeliverSubject: "d", AckPolicy: nats.AckExplicitPolicy})
	must(t, err)
	sub, err = js.Subscribe("events.*", func(m *nats.Msg) {
		meta, _ := m.Metadata()
		got <- meta.Sequence.Stream
		_ = m.Ack()
	}, nats.Bind("EVENTS", "second"), nats.ManualAck())
	must(t, err)
	for i := uint64(1); i <= 6; i++ {
		next(i)
	}
	must(t, sub.Unsubscribe())
}

func TestReplayFromPoints(t *testing.T) {
	js, err := start(t).connect().JetStream()
	must(t, err)
	orders(t, js)
	publish(t, js, 10)
	time.Sleep(50 * time.Millisecond)
	between := time.Now()
	publish(t, js, 10)
	for _, c := range []struct {
		name string
		opt  nats.SubOpt
		want uint64
	}{
		{"all", nats.DeliverAll(), 1},
		{"sequence", nats.StartSequence(15), 15},
		{"time", nats.StartTime(between), 11},
		{"yesterday", nats.StartTime(between.Add(-24 * time.Hour)), 1},
		{"last", nats.DeliverLast(), 20},
	} {
		sub, err := js.PullSubscribe("orders.*", "replay-"+c.name, c.opt)
		must(t, err)
		msgs, err := sub.Fetch(1, nats.MaxWait(5*time.Second))
		must(t, err)
		meta, err := msgs[0].Metadata()
		must(t, err)
		if meta.Sequence.Stream != c.want {
			t.Errorf("%s: %d, want %d", c.name, meta.Sequence.Stream, c.want)
		}
	}
}

func TestKeyValue(t *testing.T) {
	b := start(t)
	js, err := b.connect().JetStream()
	must(t, err)
	kv, err := js.CreateKeyValue(&nats.KeyValueConfig{Bucket: "CFG", History: 3})
	must(t, err)
	watcher, err := kv.WatchAll()
	must(t, err)
	if e := <-watcher.Updates(); e != nil {
		t.Fatal("an empty bucket has no values")
	}
	rev, err := kv.PutString("a", "1")
	must(t, err)
	_, err = kv.Create("a", []byte("2"))
	if !errors.Is(err, nats.ErrKeyExists) {
		t.Fatal(err)
	}
	rev, err = kv.Update("a", []byte("2"), rev)
	must(t, err)
	_, err = kv.Update("a", []byte("3"), rev-1)
	var api *nats.APIError
	if !errors.As(err, &api) || api.ErrorCode != 10071 {
		t.Fatal(err)
	}
	must(t, kv.Delete("a"))
	_, err = kv.Get("a")
	if !errors.Is(err, nats.ErrKeyNotFound) {
		t.Fatal(err)
	}
	for _, want := range []nats.KeyValueOp{nats.KeyValuePut, nats.KeyValuePut, nats.KeyValueDelete} {
		if e := <-watcher.Updates(); e.Operation() != want {
			t.Fatalf("%v, want %v", e.Operation(), want)
		}
	}
	history, err := kv.History("a")
	must(t, err)
	if len(history) != 3 {
		t.Fatal(len(history))
	}
	b.crashAndRestart()
	js, err = b.connect().JetStream()
	must(t, err)
	kv, err = js.KeyValue("CFG")
	must(t, err)
	_, err = kv.Create("a", []byte("new"))
	must(t, err)
}
