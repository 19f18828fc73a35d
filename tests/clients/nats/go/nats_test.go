// Package natstests is judged by nats.go: what a Go application does with NATS.
package natstests

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const limit = 20 * time.Second

var serial atomic.Int64

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func address() string {
	return "nats://" + env("NATS_HOST", "127.0.0.1") + ":" + env("NATS_PORT", "4222")
}

func unique() string {
	return fmt.Sprintf("go%dx%d", os.Getpid(), serial.Add(1))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, wanted, got T) {
	t.Helper()
	if wanted != got {
		t.Fatalf("%v is wanted, %v came", wanted, got)
	}
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// start skips what expected_failures.txt lists (reasons in ../EXPECTED_FAILURES.md) against polybus, and gives the time a test has.
func start(t *testing.T) context.Context {
	t.Helper()
	t.Parallel()
	standIn, _ := filepath.Abs("../nats-server")
	if file, err := os.Open("expected_failures.txt"); err == nil && os.Getenv("NATS_SERVER") == standIn {
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if name, _, _ := strings.Cut(lines.Text(), "#"); strings.TrimSpace(name) == t.Name() {
				t.Skip("EXPECTED_FAILURES.md")
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func connect(t *testing.T, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(address(), options...)
	must(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func TestPublishSubscribe(t *testing.T) {
	start(t)
	nc, name := connect(t), unique()
	sub, err := nc.SubscribeSync(name + ".*.>")
	must(t, err)
	must(t, nc.Publish(name+".a", []byte("no")))
	must(t, nc.PublishMsg(&nats.Msg{Subject: name + ".a.b", Data: []byte("yes"), Header: nats.Header{"K": {"1", "2"}}}))
	message, err := sub.NextMsg(limit)
	must(t, err)
	equal(t, "yes", string(message.Data))
	equal(t, "1,2", strings.Join(message.Header.Values("K"), ","))
}

func TestManyInOrder(t *testing.T) {
	start(t)
	sender, receiver, name := connect(t), connect(t), unique()
	const count = 200_000
	var next atomic.Int64
	wrong := atomic.Bool{}
	sub, err := receiver.Subscribe(name, func(m *nats.Msg) {
		if string(m.Data) != fmt.Sprint(next.Load()) {
			wrong.Store(true)
		}
		next.Add(1)
	})
	must(t, err)
	must(t, sub.SetPendingLimits(-1, -1))
	must(t, receiver.Flush())
	for i := range count {
		must(t, sender.Publish(name, []byte(fmt.Sprint(i))))
	}
	must(t, sender.Flush())
	until(t, "all came", func() bool { return next.Load() == count })
	equal(t, false, wrong.Load())
}

func TestQueueGroup(t *testing.T) {
	start(t)
	nc, name := connect(t), unique()
	var counts [4]atomic.Int64
	for i := range counts {
		_, err := connect(t).QueueSubscribe(name, "workers", func(*nats.Msg) { counts[i].Add(1) })
		must(t, err)
	}
	time.Sleep(200 * time.Millisecond)
	for range 4000 {
		must(t, nc.Publish(name, nil))
	}
	until(t, "all came", func() bool {
		return counts[0].Load()+counts[1].Load()+counts[2].Load()+counts[3].Load() == 4000
	})
	for i := range counts {
		if counts[i].Load() < 600 {
			t.Fatalf("member %d got %d of 4000", i, counts[i].Load())
		}
	}
}

func TestRequests(t *testing.T) {
	start(t)
	service, asker, name := connect(t), connect(t), unique()
	_, err := service.Subscribe(name, func(m *nats.Msg) { _ = m.Respond(append([]byte("re:"), m.Data...)) })
	must(t, err)
	must(t, service.Flush())
	var group sync.WaitGroup
	for i := range 32 {
		group.Add(1)
		go func() {
			defer group.Done()
			for k := range 50 {
				question := fmt.Sprintf("%d-%d", i, k)
				answer, err := asker.Request(name, []byte(question), limit)
				if err != nil || string(answer.Data) != "re:"+question {
					t.Errorf("%s is answered by %v, %v", question, answer, err)
					return
				}
			}
		}()
	}
	group.Wait()
	if _, err := asker.Request(unique(), nil, limit); !errors.Is(err, nats.ErrNoResponders) {
		t.Fatalf("nobody answers: %v", err)
	}
}

func TestAutoUnsubscribeAndDrain(t *testing.T) {
	start(t)
	nc, name := connect(t), unique()
	var seen atomic.Int64
	sub, err := nc.Subscribe(name, func(*nats.Msg) { seen.Add(1) })
	must(t, err)
	must(t, sub.AutoUnsubscribe(5))
	for range 10 {
		must(t, nc.Publish(name, nil))
	}
	must(t, nc.Flush())
	until(t, "five came", func() bool { return seen.Load() == 5 })
	other := connect(t)
	var drained atomic.Int64
	_, err = other.Subscribe(name, func(*nats.Msg) { time.Sleep(time.Millisecond); drained.Add(1) })
	must(t, err)
	must(t, other.Flush())
	for range 100 {
		must(t, nc.Publish(name, nil))
	}
	must(t, nc.Flush())
	must(t, other.Flush())
	must(t, other.Drain())
	until(t, "it is closed", other.IsClosed)
	equal(t, int64(100), drained.Load())
	equal(t, int64(5), seen.Load())
}

func TestRTTAndPayload(t *testing.T) {
	start(t)
	nc := connect(t, nats.NoEcho(), func(o *nats.Options) error { o.Verbose, o.Pedantic = true, true; return nil })
	_, err := nc.RTT()
	must(t, err)
	equal(t, int64(1<<20), nc.MaxPayload())
	if !nc.HeadersSupported() {
		t.Fatal("no headers")
	}
	if err := nc.Publish("a", make([]byte, 1<<20+1)); !errors.Is(err, nats.ErrMaxPayload) {
		t.Fatal(err)
	}
}

func js(t *testing.T) jetstream.JetStream {
	t.Helper()
	made, err := jetstream.New(connect(t), jetstream.WithPublishAsyncMaxPending(20_000))
	must(t, err)
	return made
}

func stream(t *testing.T, ctx context.Context, js jetstream.JetStream, config jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	config.Name = unique()
	if config.Subjects == nil {
		config.Subjects = []string{config.Name + ".>"}
	}
	made, err := js.CreateStream(ctx, config)
	must(t, err)
	t.Cleanup(func() { _ = js.DeleteStream(context.Background(), config.Name) })
	return made
}

func fill(t *testing.T, ctx context.Context, js jetstream.JetStream, name string, count int) {
	t.Helper()
	for i := range count {
		_, err := js.Publish(ctx, name+".a", []byte(fmt.Sprint(i)))
		must(t, err)
	}
}

func TestStreamPublish(t *testing.T) {
	ctx := start(t)
	js := js(t)
	s := stream(t, ctx, js, jetstream.StreamConfig{AllowDirect: true})
	name := s.CachedInfo().Config.Name
	ack, err := js.Publish(ctx, name+".a", []byte("one"), jetstream.WithMsgID("1"), jetstream.WithExpectStream(name))
	must(t, err)
	equal(t, 1, ack.Sequence)
	ack, err = js.Publish(ctx, name+".a", []byte("one"), jetstream.WithMsgID("1"))
	must(t, err)
	equal(t, true, ack.Duplicate)
	_, err = js.Publish(ctx, name+".a", nil, jetstream.WithExpectLastSequence(7))
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence {
		t.Fatal(err)
	}
	_, err = js.Publish(ctx, name+".a", []byte("two"), jetstream.WithExpectLastSequencePerSubject(1))
	must(t, err)
	message, err := s.GetLastMsgForSubject(ctx, name+".a")
	must(t, err)
	equal(t, "two", string(message.Data))
	message, err = s.GetMsg(ctx, 1)
	must(t, err)
	equal(t, "one", string(message.Data))
	if _, err = s.GetMsg(ctx, 12); !errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Fatal(err)
	}
	must(t, s.DeleteMsg(ctx, 1))
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(">"), jetstream.WithDeletedDetails(true))
	must(t, err)
	equal(t, 1, info.State.Msgs)
	equal(t, 1, info.State.Subjects[name+".a"])
}

func TestPublishAsync(t *testing.T) {
	ctx := start(t)
	js := js(t)
	s := stream(t, ctx, js, jetstream.StreamConfig{})
	name := s.CachedInfo().Config.Name
	const count = 10_000
	for i := range count {
		_, err := js.PublishAsync(name+".a", []byte(fmt.Sprint(i)))
		must(t, err)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		t.Fatalf("%d are not acknowledged", js.PublishAsyncPending())
	}
	info, err := s.Info(ctx)
	must(t, err)
	equal(t, count, info.State.Msgs)
}

func TestFetchAndAcknowledge(t *testing.T) {
	ctx := start(t)
	js := js(t)
	s := stream(t, ctx, js, jetstream.StreamConfig{})
	name := s.CachedInfo().Config.Name
	fill(t, ctx, js, name, 10)
	consumer, err := s.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "d", AckPolicy: jetstream.AckExplicitPolicy})
	must(t, err)
	batch, err := consumer.Fetch(4)
	must(t, err)
	next := 0
	for message := range batch.Messages() {
		equal(t, fmt.Sprint(next), string(message.Data()))
		next++
		must(t, message.DoubleAck(ctx))
	}
	equal(t, 4, next)
	message, err := consumer.Next()
	must(t, err)
	must(t, message.Nak())
	for {
		message, err = consumer.Next()
		must(t, err)
		told, err := message.Metadata()
		must(t, err)
		// It may come after what was on its way already.
		if told.NumDelivered == 2 {
			equal(t, uint64(5), told.Sequence.Stream)
			break
		}
		must(t, message.Ack())
		next++
	}
	must(t, message.TermWithReason("no good"))
	rest, err := consumer.FetchNoWait(100)
	must(t, err)
	for message := range rest.Messages() {
		must(t, message.Ack())
		next++
	}
	equal(t, 9, next)
	until(t, "all are settled", func() bool {
		info, err := consumer.Info(ctx)
		return err == nil && info.NumAckPending == 0 && info.AckFloor.Stream == 10
	})
	none, err := consumer.Fetch(1, jetstream.FetchMaxWait(200*time.Millisecond))
	must(t, err)
	for range none.Messages() {
		t.Fatal("there is one more")
	}
}

func TestConsume(t *testing.T) {
	ctx := start(t)
	js := js(t)
	s := stream(t, ctx, js, jetstream.StreamConfig{})
	name := s.CachedInfo().Config.Name
	consumer, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	must(t, err)
	var seen atomic.Int64
	consuming, err := consumer.Consume(func(m jetstream.Msg) { _ = m.Ack(); seen.Add(1) }, jetstream.PullMaxMessages(50))
	must(t, err)
	defer consuming.Stop()
	fill(t, ctx, js, name, 500)
	until(t, "all came", func() bool { return seen.Load() == 500 })
}

func TestOrderedConsumer(t *testing.T) {
	ctx := start(t)
	js := js(t)
	s := stream(t, ctx, js, jetstream.StreamConfig{})
	name := s.CachedInfo().Config.Name
	fill(t, ctx, js, name, 300)
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{name + ".a"}})
	must(t, err)
	messages, err := consumer.Messages()
	must(t, err)
	defer messages.Stop()
	for i := range 300 {
		message, err := messages.Next()
		must(t, err)
		equal(t, fmt.Sprint(i), string(message.Data()))
	}
}

func TestPushConsumer(t *testing.T) {
	ctx := start(t)
	nc := connect(t)
	old, err := nc.JetStream()
	must(t, err)
	js := js(t)
	s := stream(t, ctx, js, jetstream.StreamConfig{})
	name := s.CachedInfo().Config.Name
	fill(t, ctx, js, name, 200)
	var seen atomic.Int64
	_, err = old.Subscribe(name+".>", func(m *nats.Msg) { _ = m.Ack(); seen.Add(1) }, nats.DeliverAll(), nats.ManualAck(), nats.EnableFlowControl(), nats.IdleHeartbeat(time.Second))
	must(t, err)
	until(t, "all came", func() bool { return seen.Load() == 200 })
}

func TestPriorityGroups(t *testing.T) {
	ctx := start(t)
	js := js(t)
	s := stream(t, ctx, js, jetstream.StreamConfig{})
	name := s.CachedInfo().Config.Name
	consumer, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "d", AckPolicy: jetstream.AckExplicitPolicy, PriorityPolicy: jetstream.PriorityPolicyOverflow, PriorityGroups: []string{"a"},
	})
	must(t, err)
	fill(t, ctx, js, name, 100)
	batch, err := consumer.Fetch(10, jetstream.FetchPriorityGroup("a"), jetstream.FetchMinPending(110), jetstream.FetchMaxWait(300*time.Millisecond))
	must(t, err)
	for range batch.Messages() {
		t.Fatal("fewer than 110 are pending")
	}
	batch, err = consumer.Fetch(10, jetstream.FetchPriorityGroup("a"), jetstream.FetchMinPending(50))
	must(t, err)
	count := 0
	for range batch.Messages() {
		count++
	}
	equal(t, 10, count)
}

// One client gets all of a consumer's messages until it is unpinned; both is told to whoever listens.
func TestPinnedClient(t *testing.T) {
	ctx := start(t)
	js := js(t)
	s := stream(t, ctx, js, jetstream.StreamConfig{})
	name := s.CachedInfo().Config.Name
	consumer, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "d", AckPolicy: jetstream.AckExplicitPolicy, PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{"a"},
		PinnedTTL: 30 * time.Second,
	})
	must(t, err)
	advisories, err := js.Conn().SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.*." + name + ".d")
	must(t, err)
	first, err := consumer.Messages(jetstream.PullPriorityGroup("a"))
	must(t, err)
	defer first.Stop()
	fill(t, ctx, js, name, 10)
	other, err := s.Consumer(ctx, "d")
	must(t, err)
	pin := ""
	for range 10 {
		message, err := first.Next(jetstream.NextMaxWait(5 * time.Second))
		must(t, err)
		must(t, message.Ack())
		pin = message.Headers().Get("Nats-Pin-Id")
		if pin == "" {
			t.Fatal("it is not pinned")
		}
	}
	batch, err := other.Fetch(1, jetstream.FetchPriorityGroup("a"), jetstream.FetchMaxWait(300*time.Millisecond))
	must(t, err)
	fill(t, ctx, js, name, 1)
	for range batch.Messages() {
		t.Fatal("another one is pinned")
	}
	info, err := consumer.Info(ctx)
	must(t, err)
	equal(t, 1, len(info.PriorityGroups))
	equal(t, pin, info.PriorityGroups[0].PinnedClientID)
	told, err := advisories.NextMsg(5 * time.Second)
	must(t, err)
	equal(t, "$JS.EVENT.ADVISORY.CONSUMER.PINNED."+name+".d", told.Subject)
	first.Stop()
	must(t, s.UnpinConsumer(ctx, "d", "a"))
	told, err = advisories.NextMsg(5 * time.Second)
	must(t, err)
	equal(t, "$JS.EVENT.ADVISORY.CONSUMER.UNPINNED."+name+".d", told.Subject)
	fill(t, ctx, js, name, 1)
	batch, err = other.Fetch(1, jetstream.FetchPriorityGroup("a"))
	must(t, err)
	count := 0
	for message := range batch.Messages() {
		count++
		if message.Headers().Get("Nats-Pin-Id") == pin {
			t.Fatal("it is the same pin")
		}
	}
	equal(t, 1, count)
	if err := s.UnpinConsumer(ctx, "d", "b"); err == nil {
		t.Fatal("there is no such group")
	}
}

func TestKeyValue(t *testing.T) {
	ctx := start(t)
	js, name := js(t), unique()
	kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, History: 5})
	must(t, err)
	defer func() { _ = js.DeleteKeyValue(context.Background(), name) }()
	watcher, err := kv.WatchAll(ctx)
	must(t, err)
	defer func() { _ = watcher.Stop() }()
	if entry := <-watcher.Updates(); entry != nil {
		t.Fatal("it is empty")
	}
	revision, err := kv.Create(ctx, "a.b", []byte("1"))
	must(t, err)
	if _, err := kv.Create(ctx, "a.b", nil); !errors.Is(err, jetstream.ErrKeyExists) {
		t.Fatal(err)
	}
	_, err = kv.Update(ctx, "a.b", []byte("2"), revision)
	must(t, err)
	entry, err := kv.Get(ctx, "a.b")
	must(t, err)
	equal(t, "2", string(entry.Value()))
	must(t, kv.Delete(ctx, "a.b"))
	if _, err := kv.Get(ctx, "a.b"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Fatal(err)
	}
	history, err := kv.History(ctx, "a.b")
	must(t, err)
	equal(t, 3, len(history))
	for _, wanted := range []string{"1", "2", ""} {
		equal(t, wanted, string((<-watcher.Updates()).Value()))
	}
}

func TestObjectStore(t *testing.T) {
	ctx := start(t)
	js, name := js(t), unique()
	store, err := js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: name})
	must(t, err)
	defer func() { _ = js.DeleteObjectStore(context.Background(), name) }()
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	_, err = store.PutBytes(ctx, "big", data)
	must(t, err)
	got, err := store.GetBytes(ctx, "big")
	must(t, err)
	equal(t, true, bytes.Equal(data, got))
	must(t, store.UpdateMeta(ctx, "big", jetstream.ObjectMeta{Name: "bigger"}))
	info, err := store.GetInfo(ctx, "bigger")
	must(t, err)
	equal(t, uint64(len(data)), info.Size)
	list, err := store.List(ctx)
	must(t, err)
	equal(t, 1, len(list))
	must(t, store.Delete(ctx, "bigger"))
	if _, err = store.GetBytes(ctx, "bigger"); !errors.Is(err, jetstream.ErrObjectNotFound) {
		t.Fatal(err)
	}
}

func TestListsAndAccount(t *testing.T) {
	ctx := start(t)
	js := js(t)
	name := stream(t, ctx, js, jetstream.StreamConfig{Description: "listed"}).CachedInfo().Config.Name
	found := false
	for info := range js.ListStreams(ctx).Info() {
		found = found || info.Config.Name == name
	}
	equal(t, true, found)
	owner, err := js.StreamNameBySubject(ctx, name+".x")
	must(t, err)
	equal(t, name, owner)
	account, err := js.AccountInfo(ctx)
	must(t, err)
	if account.Streams < 1 {
		t.Fatal("no streams are told")
	}
	if _, err := js.Stream(ctx, unique()); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Fatal(err)
	}
}
