// Programs as JetStream guides have them, with the classic API of nats.go, on the cluster that GUIDE_URL names.
package guide

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

const wait = 20 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cluster connects and begins with an empty stream ORDERS of three replicas.
func cluster(t *testing.T) nats.JetStreamContext {
	t.Helper()
	nc, err := nats.Connect(os.Getenv("GUIDE_URL"), nats.MaxReconnects(-1))
	must(t, err)
	t.Cleanup(nc.Close)
	js, err := nc.JetStream(nats.MaxWait(wait))
	must(t, err)
	for _, name := range []string{"ORDERS", "EVENTS"} {
		if err := js.DeleteStream(name); err != nil && !errors.Is(err, nats.ErrStreamNotFound) {
			t.Fatal(err)
		}
	}
	info, err := js.AddStream(&nats.StreamConfig{
		Name:     "ORDERS",
		Subjects: []string{"orders.*"},
		Storage:  nats.FileStorage,
		Replicas: 3,
		MaxAge:   168 * time.Hour,
	})
	must(t, err)
	if info.Config.Name != "ORDERS" || info.Config.Replicas != 3 {
		t.Fatalf("%+v", info.Config)
	}
	return js
}

func publish(t *testing.T, js nats.JetStreamContext, count int) {
	t.Helper()
	for i := 1; i <= count; i++ {
		_, err := js.Publish("orders.created", []byte(fmt.Sprint(i)))
		must(t, err)
	}
}

func TestStreamIsReplicated(t *testing.T) {
	js := cluster(t)
	publish(t, js, 20)
	for until := time.Now().Add(wait); ; time.Sleep(50 * time.Millisecond) {
		info, err := js.StreamInfo("ORDERS")
		must(t, err)
		current := 0
		for _, r := range info.Cluster.Replicas {
			if r.Current && !r.Offline && r.Lag == 0 {
				current++
			}
		}
		if info.Cluster.Leader != "" && current == 2 && info.State.Msgs == 20 {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("%+v", info.Cluster)
		}
	}
}

func TestPublishIsStoredOnce(t *testing.T) {
	js := cluster(t)
	ack, err := js.Publish("orders.created", []byte("new"))
	must(t, err)
	if ack.Sequence != 1 || ack.Stream != "ORDERS" {
		t.Fatalf("%+v", ack)
	}
	for again := 0; again < 3; again++ {
		ack, err = js.Publish("orders.updated", []byte("sent"), nats.MsgId("order-1-sent"))
		must(t, err)
		if ack.Sequence != 2 || ack.Duplicate != (again > 0) {
			t.Fatalf("%d: %+v", again, ack)
		}
	}
}

// What fails is handed back and comes again; what is done does not.
func TestPullConsumer(t *testing.T) {
	js := cluster(t)
	publish(t, js, 25)
	sub, err := js.PullSubscribe("orders.*", "order-processor")
	must(t, err)
	done := map[string]int{}
	handed := false
	for len(done) < 25 {
		msgs, err := sub.Fetch(10, nats.MaxWait(wait))
		must(t, err)
		for _, m := range msgs {
			if string(m.Data) == "7" && !handed {
				handed = true
				must(t, m.Nak())
				continue
			}
			must(t, m.AckSync())
			done[string(m.Data)]++
		}
	}
	if !handed || done["7"] != 1 {
		t.Fatal(done)
	}
	if _, err = sub.Fetch(1, nats.MaxWait(300*time.Millisecond)); !errors.Is(err, nats.ErrTimeout) {
		t.Fatal(err)
	}
}

func TestPushConsumer(t *testing.T) {
	js := cluster(t)
	_, err := js.AddStream(&nats.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}, Replicas: 3})
	must(t, err)
	got := make(chan string, 100)
	sub, err := js.Subscribe("events.*", func(m *nats.Msg) {
		got <- m.Subject
		_ = m.Ack()
	}, nats.Durable("event-processor"))
	must(t, err)
	for i := 0; i < 10; i++ {
		subject := fmt.Sprintf("events.%d", i)
		_, err = js.Publish(subject, nil)
		must(t, err)
		select {
		case s := <-got:
			if s != subject {
				t.Fatal(s)
			}
		case <-time.After(wait):
			t.Fatal("nothing is pushed")
		}
	}
	must(t, sub.Unsubscribe())
}

func TestReplay(t *testing.T) {
	js := cluster(t)
	publish(t, js, 10)
	time.Sleep(50 * time.Millisecond)
	middle := time.Now()
	time.Sleep(50 * time.Millisecond)
	publish(t, js, 10)
	for _, c := range []struct {
		name  string
		from  nats.SubOpt
		first uint64
	}{
		{"all", nats.DeliverAll(), 1},
		{"sequence", nats.StartSequence(12), 12},
		{"time", nats.StartTime(middle), 11},
		{"yesterday", nats.StartTime(middle.Add(-24 * time.Hour)), 1},
		{"last", nats.DeliverLast(), 20},
	} {
		sub, err := js.PullSubscribe("orders.*", "replay-"+c.name, c.from)
		must(t, err)
		msgs, err := sub.Fetch(1, nats.MaxWait(wait))
		must(t, err)
		meta, err := msgs[0].Metadata()
		must(t, err)
		if meta.Sequence.Stream != c.first {
			t.Errorf("%s: begins with %d, not %d", c.name, meta.Sequence.Stream, c.first)
		}
	}
	// Beyond the end there is nothing yet.
	sub, err := js.PullSubscribe("orders.*", "replay-later", nats.StartSequence(1000))
	must(t, err)
	if _, err = sub.Fetch(1, nats.MaxWait(300*time.Millisecond)); !errors.Is(err, nats.ErrTimeout) {
		t.Fatal(err)
	}
}

// A consumer that remembers ids does the work of each message once, whatever it is sent.
func TestIdempotentConsumer(t *testing.T) {
	js := cluster(t)
	for i := 0; i < 10; i++ {
		_, err := js.Publish("orders.created", []byte(fmt.Sprint(i)), nats.MsgId(fmt.Sprintf("order-%d", i)))
		must(t, err)
	}
	var lock sync.Mutex
	worked := map[string]int{}
	acked := 0
	finished := make(chan struct{})
	_, err := js.Subscribe("orders.*", func(m *nats.Msg) {
		lock.Lock()
		defer lock.Unlock()
		id := m.Header.Get(nats.MsgIdHdr)
		if worked[id] == 0 { // the work is done, but its acknowledgement fails
			worked[id]++
			_ = m.Nak()
			return
		}
		if m.AckSync() == nil {
			acked++
		}
		if acked == 10 {
			close(finished)
		}
	}, nats.Durable("once"), nats.ManualAck())
	must(t, err)
	select {
	case <-finished:
	case <-time.After(wait):
		t.Fatal("not all orders come twice")
	}
	lock.Lock()
	defer lock.Unlock()
	if len(worked) != 10 || worked[""] != 0 {
		t.Error(worked)
	}
}

// Several instances share the work of one pull consumer.
func TestInstancesShareTheWork(t *testing.T) {
	js := cluster(t)
	publish(t, js, 60)
	var lock sync.Mutex
	var group sync.WaitGroup
	seen := map[string]int{}
	for instance := 0; instance < 3; instance++ {
		sub, err := js.PullSubscribe("orders.*", "shared")
		must(t, err)
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				msgs, err := sub.Fetch(5, nats.MaxWait(time.Second))
				if err != nil {
					return
				}
				for _, m := range msgs {
					if m.AckSync() == nil {
						lock.Lock()
						seen[string(m.Data)]++
						lock.Unlock()
					}
				}
			}
		}()
	}
	group.Wait()
	if len(seen) != 60 {
		t.Fatalf("%d of 60 messages", len(seen))
	}
	for data, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", data, n)
		}
	}
}
