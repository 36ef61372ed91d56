// The jetstream package of nats.go: consume, ordered consumers, object store, service framework.
package conformance

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

func TestConsume(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	nc := start(t).connect()
	js, err := jetstream.New(nc)
	must(t, err)
	s, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	must(t, err)
	const count = 1000
	for i := 0; i < count; i++ {
		_, err = js.PublishAsync("s.x", []byte(fmt.Sprint(i)))
		must(t, err)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		t.Fatal("acknowledgements are missing")
	}
	c, err := s.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "D", AckPolicy: jetstream.AckExplicitPolicy})
	must(t, err)
	done := make(chan struct{})
	want := uint64(1)
	cc, err := c.Consume(func(m jetstream.Msg) {
		meta, _ := m.Metadata()
		if meta.Sequence.Stream != want {
			t.Errorf("got %d, want %d", meta.Sequence.Stream, want)
		}
		_ = m.Ack()
		if want++; want == count+1 {
			close(done)
		}
	}, jetstream.PullMaxMessages(100))
	must(t, err)
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal("messages are missing")
	}
	cc.Stop()
	ordered, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"s.>"}})
	must(t, err)
	batch, err := ordered.Fetch(10)
	must(t, err)
	n := 0
	for range batch.Messages() {
		n++
	}
	if n != 10 {
		t.Fatal(n)
	}
	info, err := s.Info(ctx)
	must(t, err)
	if info.State.Msgs != count || info.State.Consumers < 1 {
		t.Fatalf("%+v", info.State)
	}
	names := s.ConsumerNames(ctx)
	for range names.Name() {
	}
	must(t, names.Err())
	must(t, js.DeleteStream(ctx, "S"))
}

func TestObjectStore(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	js, err := jetstream.New(start(t).connect())
	must(t, err)
	store, err := js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "FILES"})
	must(t, err)
	data := bytes.Repeat([]byte("0123456789abcdef"), 50_000)
	_, err = store.PutBytes(ctx, "one", data)
	must(t, err)
	got, err := store.GetBytes(ctx, "one")
	must(t, err)
	if !bytes.Equal(got, data) {
		t.Fatal("other bytes came back")
	}
	list, err := store.List(ctx)
	must(t, err)
	if len(list) != 1 || list[0].Size != uint64(len(data)) {
		t.Fatalf("%+v", list)
	}
	must(t, store.Delete(ctx, "one"))
}

func TestService(t *testing.T) {
	b := start(t)
	service, err := micro.AddService(b.connect(), micro.Config{
		Name: "adder", Version: "1.0.0",
		Endpoint: &micro.EndpointConfig{Subject: "add", Handler: micro.HandlerFunc(func(r micro.Request) { _ = r.Respond(r.Data()) })},
	})
	must(t, err)
	nc := b.connect()
	m, err := nc.Request("add", []byte("x"), 5*time.Second)
	must(t, err)
	if string(m.Data) != "x" {
		t.Fatal(string(m.Data))
	}
	m, err = nc.Request("$SRV.PING.adder", nil, 5*time.Second)
	must(t, err)
	if len(m.Data) == 0 {
		t.Fatal("empty")
	}
	must(t, service.Stop())
	for i := 0; i < 100 && err != nats.ErrNoResponders; i++ { // Stop drains in the background
		_, err = nc.Request("add", nil, 5*time.Second)
		time.Sleep(20 * time.Millisecond)
	}
	if err != nats.ErrNoResponders {
		t.Fatal(err)
	}
}
