package kafkatests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func record(topic string, partition int32, value string) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value)}
}

// take polls until so many records have come.
func take(t *testing.T, ctx context.Context, from *kgo.Client, count int) []*kgo.Record {
	t.Helper()
	var taken []*kgo.Record
	for len(taken) < count {
		fetches := from.PollFetches(ctx)
		must(t, fetches.Err())
		taken = append(taken, fetches.Records()...)
	}
	return taken
}

func texts(records []*kgo.Record) string {
	var values []string
	for _, one := range records {
		values = append(values, string(one.Value))
	}
	return strings.Join(values, " ")
}

func reader(t *testing.T, topic string, partition int32, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	at := map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}
	return client(t, append([]kgo.Opt{kgo.ConsumePartitions(at)}, more...)...)
}

func TestFranzProducesAndConsumes(t *testing.T) {
	ctx := start(t)
	topic := topicOf(t, 3, nil)
	producer := client(t)
	for n := range 300 {
		producer.Produce(ctx, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", n%7), Value: fmt.Appendf(nil, "%d", n),
			Headers: []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, n)}, {Key: "none"}}}, nil)
	}
	must(t, producer.Flush(ctx))
	last := map[string]int{}
	partitionOf := map[string]int32{}
	for _, one := range take(t, ctx, client(t, kgo.ConsumeTopics(topic)), 300) {
		var n int
		fmt.Sscan(string(one.Value), &n)
		key := string(one.Key)
		if before, seen := last[key]; seen && before >= n {
			t.Fatalf("%s: %d came after %d", key, n, before)
		}
		if partition, seen := partitionOf[key]; seen {
			equal(t, partition, one.Partition)
		}
		last[key], partitionOf[key] = n, one.Partition
		equal(t, fmt.Sprint(n), string(one.Headers[0].Value))
		equal(t, true, one.Headers[1].Value == nil)
	}
}

func TestFranzCompressions(t *testing.T) {
	ctx := start(t)
	for name, codec := range map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()} {
		topic := topicOf(t, 1, nil)
		producer := client(t, kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(20*time.Millisecond))
		for n := range 200 {
			producer.Produce(ctx, record(topic, 0, strings.Repeat(fmt.Sprintf("%d of these ", n), 100)), nil)
		}
		must(t, producer.Flush(ctx))
		for n, one := range take(t, ctx, reader(t, topic, 0), 200) {
			if !strings.HasPrefix(string(one.Value), fmt.Sprintf("%d of these %d of", n, n)) || one.Offset != int64(n) {
				t.Fatalf("%s: record %d is not as it was", name, n)
			}
		}
	}
}

func TestFranzAcks(t *testing.T) {
	ctx := start(t)
	topic := topicOf(t, 1, nil)
	for _, acks := range []kgo.Acks{kgo.NoAck(), kgo.LeaderAck(), kgo.AllISRAcks()} {
		producer := client(t, kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite())
		must(t, producer.ProduceSync(ctx, record(topic, 0, "x")).FirstErr())
		// Without acks nothing says when it has arrived.
		take(t, ctx, reader(t, topic, 0), 1)
	}
	equal(t, 3, len(take(t, ctx, reader(t, topic, 0), 3)))
}

func TestFranzLargeRecord(t *testing.T) {
	ctx := start(t)
	limitBytes := "6000000"
	topic := topicOf(t, 1, map[string]*string{"max.message.bytes": &limitBytes})
	value := make([]byte, 5_000_000)
	rand.New(rand.NewSource(1)).Read(value)
	producer := client(t, kgo.ProducerBatchMaxBytes(10_000_000))
	must(t, producer.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: value}).FirstErr())
	if got := take(t, ctx, reader(t, topic, 0), 1)[0].Value; !bytes.Equal(value, got) {
		t.Fatal("it is not as it was")
	}
	if err := producer.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: append(value, value[:2_000_000]...)}).FirstErr(); !errors.Is(err, kerr.MessageTooLarge) {
		t.Fatal(err)
	}
}

func TestFranzOffsets(t *testing.T) {
	ctx := start(t)
	topic := topicOf(t, 1, nil)
	base := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	producer := client(t)
	for n := range 5 {
		one := record(topic, 0, fmt.Sprint(n))
		one.Timestamp = base.Add(time.Duration(n) * time.Minute)
		must(t, producer.ProduceSync(ctx, one).FirstErr())
	}
	for what, offset := range map[string]kgo.Offset{
		"0 1 2 3 4": kgo.NewOffset().AtStart(),
		"2 3 4":     kgo.NewOffset().At(2),
		"3 4":       kgo.NewOffset().AtEnd().Relative(-2),
		"1 2 3 4":   kgo.NewOffset().AfterMilli(base.Add(30 * time.Second).UnixMilli()),
	} {
		from := client(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: offset}}))
		equal(t, what, texts(take(t, ctx, from, len(strings.Fields(what)))))
	}
	ends, err := admin(t).ListEndOffsets(ctx, topic)
	must(t, err)
	equal(t, 5, ends[topic][0].Offset)
}

// member of a group with its own goroutine.
type member struct {
	client *kgo.Client
	lock   sync.Mutex
	got    []string
	ended  chan struct{}
}

func join(t *testing.T, group string, topics []string, more ...kgo.Opt) *member {
	t.Helper()
	one := &member{ended: make(chan struct{})}
	options := []kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(300 * time.Millisecond)}
	one.client = client(t, append(options, more...)...)
	go func() {
		defer close(one.ended)
		for {
			fetches := one.client.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			one.lock.Lock()
			for _, record := range fetches.Records() {
				one.got = append(one.got, string(record.Value))
			}
			one.lock.Unlock()
		}
	}()
	return one
}

func (m *member) leave() {
	m.client.CommitUncommittedOffsets(context.Background())
	m.client.Close()
	<-m.ended
}

func (m *member) values() []string {
	m.lock.Lock()
	defer m.lock.Unlock()
	return slices.Clone(m.got)
}

// assigned waits until a group is stable and its members have as many partitions as these.
func assigned(t *testing.T, ctx context.Context, group string, shares ...int) {
	t.Helper()
	administrator := admin(t)
	eventually(t, fmt.Sprint("shares of ", shares), func() bool {
		found, err := administrator.DescribeGroups(ctx, group)
		if err != nil || found[group].State != "Stable" {
			return false
		}
		var sizes []int
		for _, one := range found[group].Members {
			size := 0
			if consumer, ok := one.Assigned.AsConsumer(); ok {
				for _, topic := range consumer.Topics {
					size += len(topic.Partitions)
				}
			}
			sizes = append(sizes, size)
		}
		slices.Sort(sizes)
		return slices.Equal(sizes, shares)
	})
}

func produceNumbers(t *testing.T, ctx context.Context, topic string, partitions, from, to int) {
	t.Helper()
	producer := client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for n := from; n < to; n++ {
		producer.Produce(ctx, record(topic, int32(n%partitions), fmt.Sprint(n)), nil)
	}
	must(t, producer.Flush(ctx))
}

func TestFranzGroups(t *testing.T) {
	for name, balancer := range map[string]kgo.GroupBalancer{"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(), "sticky": kgo.StickyBalancer(), "cooperative": kgo.CooperativeStickyBalancer()} {
		t.Run(name, func(t *testing.T) {
			ctx := start(t)
			topic, group := topicOf(t, 4, nil), unique()
			one := join(t, group, []string{topic}, kgo.Balancers(balancer))
			two := join(t, group, []string{topic}, kgo.Balancers(balancer))
			assigned(t, ctx, group, 2, 2)
			produceNumbers(t, ctx, topic, 4, 0, 100)
			eventually(t, "all is read", func() bool { return len(one.values())+len(two.values()) == 100 })
			equal(t, 50, len(one.values()))
			two.leave()
			assigned(t, ctx, group, 4)
			produceNumbers(t, ctx, topic, 4, 100, 120)
			eventually(t, "the rest is read", func() bool { return len(one.values()) == 70 })
			one.leave()
			all := append(one.values(), two.values()...)
			slices.Sort(all)
			equal(t, 120, len(slices.Compact(all)))
			lags, err := admin(t).Lag(ctx, group)
			must(t, err)
			equal(t, 0, lags[group].Lag.Total())
		})
	}
}

func TestFranzStaticMember(t *testing.T) {
	ctx := start(t)
	topic, group := topicOf(t, 2, nil), unique()
	join(t, group, []string{topic}, kgo.InstanceID("a"))
	first := join(t, group, []string{topic}, kgo.InstanceID("b"))
	assigned(t, ctx, group, 1, 1)
	first.client.Close()
	join(t, group, []string{topic}, kgo.InstanceID("b"))
	assigned(t, ctx, group, 1, 1)
}

func TestFranzAdmin(t *testing.T) {
	ctx := start(t)
	administrator, topic, group := admin(t), topicOf(t, 2, nil), unique()
	produceNumbers(t, ctx, topic, 2, 0, 10)

	_, err := administrator.CreateTopic(ctx, 1, 1, nil, topic)
	equal(t, true, errors.Is(err, kerr.TopicAlreadyExists))
	_, err = administrator.UpdatePartitions(ctx, 3, topic)
	must(t, err)
	eventually(t, "three partitions", func() bool {
		found, err := administrator.ListTopics(ctx, topic)
		return err == nil && len(found[topic].Partitions) == 3
	})

	value := "60000"
	altered, err := administrator.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &value}}, topic)
	must(t, err)
	must(t, altered[0].Err)
	eventually(t, "the setting is set", func() bool {
		configs, err := administrator.DescribeTopicConfigs(ctx, topic)
		return err == nil && slices.ContainsFunc(configs[0].Configs, func(c kadm.Config) bool { return c.Key == "retention.ms" && *c.Value == value })
	})

	until := kadm.Offsets{}
	until.AddOffset(topic, 0, 3, -1)
	deleted, err := administrator.DeleteRecords(ctx, until)
	must(t, err)
	equal(t, 3, deleted[topic][0].LowWatermark)

	committed := kadm.Offsets{}
	committed.Add(kadm.Offset{Topic: topic, Partition: 0, At: 4, LeaderEpoch: -1, Metadata: "here"})
	_, err = administrator.CommitOffsets(ctx, group, committed)
	must(t, err)
	fetched, err := administrator.FetchOffsets(ctx, group)
	must(t, err)
	equal(t, 4, fetched[topic][0].At)
	equal(t, "here", fetched[topic][0].Metadata)
	groups, err := administrator.ListGroups(ctx)
	must(t, err)
	equal(t, "Empty", groups[group].State)
	_, err = administrator.DeleteGroups(ctx, group)
	must(t, err)

	metadata, err := administrator.BrokerMetadata(ctx)
	must(t, err)
	equal(t, 1, len(metadata.Brokers))
	dirs, err := administrator.DescribeAllLogDirs(ctx, nil)
	must(t, err)
	equal(t, 1, len(dirs))
}

func TestFranzTransactions(t *testing.T) {
	ctx := start(t)
	from, to, group := topicOf(t, 1, nil), topicOf(t, 1, nil), unique()
	produceNumbers(t, ctx, from, 1, 0, 20)
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(address()), kgo.TransactionalID(unique()), kgo.ConsumerGroup(group), kgo.ConsumeTopics(from),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets())
	must(t, err)
	defer session.Close()
	// The first try is aborted: what it read comes again, what it wrote is not seen.
	for moved, try := 0, 0; moved < 20; try++ {
		records := session.PollRecords(ctx, 5).Records()
		must(t, session.Begin())
		for _, one := range records {
			session.Produce(ctx, record(to, 0, fmt.Sprintf("%s-%d", one.Value, try)), nil)
		}
		committed, err := session.End(ctx, kgo.TransactionEndTry(try > 0))
		must(t, err)
		if committed {
			moved += len(records)
		}
	}
	for n, one := range take(t, ctx, reader(t, to, 0, kgo.FetchIsolationLevel(kgo.ReadCommitted())), 20) {
		if value, try, _ := strings.Cut(string(one.Value), "-"); value != fmt.Sprint(n) || try == "0" {
			t.Fatalf("record %d is %s", n, one.Value)
		}
	}
}
