package kafkatests

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

func saramaConfig() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	return config
}

func saramaProducer(t *testing.T, config *sarama.Config) sarama.SyncProducer {
	t.Helper()
	producer, err := sarama.NewSyncProducer([]string{address()}, config)
	must(t, err)
	t.Cleanup(func() { producer.Close() })
	return producer
}

func saramaTake(t *testing.T, ctx context.Context, topic string, offset int64, count int) []*sarama.ConsumerMessage {
	t.Helper()
	consumer, err := sarama.NewConsumer([]string{address()}, saramaConfig())
	must(t, err)
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(topic, 0, offset)
	must(t, err)
	defer partition.Close()
	var taken []*sarama.ConsumerMessage
	for len(taken) < count {
		select {
		case message := <-partition.Messages():
			taken = append(taken, message)
		case err := <-partition.Errors():
			t.Fatal(err)
		case <-ctx.Done():
			t.Fatalf("only %d of %d came", len(taken), count)
		}
	}
	return taken
}

func TestSaramaCompressions(t *testing.T) {
	ctx := start(t)
	for _, codec := range []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD} {
		topic := topicOf(t, 1, nil)
		config := saramaConfig()
		config.Producer.Compression = codec
		var messages []*sarama.ProducerMessage
		for n := range 100 {
			messages = append(messages, &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder("k"), Value: sarama.StringEncoder(strings.Repeat(fmt.Sprintf("%d ", n), 200)),
				Headers: []sarama.RecordHeader{{Key: []byte("h"), Value: []byte{byte(n)}}}})
		}
		must(t, saramaProducer(t, config).SendMessages(messages))
		for n, one := range saramaTake(t, ctx, topic, sarama.OffsetOldest, 100) {
			equal(t, fmt.Sprint(n), strings.Fields(string(one.Value))[0])
			equal(t, byte(n), one.Headers[0].Value[0])
			equal(t, int64(n), one.Offset)
		}
	}
}

func TestSaramaIdempotentProducer(t *testing.T) {
	ctx := start(t)
	topic := topicOf(t, 1, nil)
	config := saramaConfig()
	config.Producer.Idempotent, config.Net.MaxOpenRequests = true, 1
	producer := saramaProducer(t, config)
	for n := range 50 {
		_, offset, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(fmt.Sprint(n))})
		must(t, err)
		equal(t, int64(n), offset)
	}
	equal(t, "30", string(saramaTake(t, ctx, topic, 30, 1)[0].Value))
}

// Older applications speak older versions.
func TestSaramaOldVersions(t *testing.T) {
	ctx := start(t)
	for _, version := range []sarama.KafkaVersion{sarama.V0_11_0_0, sarama.V1_0_0_0, sarama.V2_1_0_0, sarama.V3_6_0_0} {
		topic := topicOf(t, 1, nil)
		config := saramaConfig()
		config.Version = version
		_, offset, err := saramaProducer(t, config).SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("x")})
		must(t, err)
		equal(t, 0, offset)
		equal(t, "x", string(saramaTake(t, ctx, topic, sarama.OffsetOldest, 1)[0].Value))
	}
}

type handler struct {
	got   atomic.Int64
	setup chan int
}

func (h *handler) Setup(session sarama.ConsumerGroupSession) error {
	partitions := 0
	for _, claimed := range session.Claims() {
		partitions += len(claimed)
	}
	h.setup <- partitions
	return nil
}

func (h *handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (h *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		h.got.Add(1)
		session.MarkMessage(message, "")
	}
	return nil
}

func saramaJoin(t *testing.T, group, topic string) (*handler, func()) {
	t.Helper()
	consumers, err := sarama.NewConsumerGroup([]string{address()}, group, saramaConfig())
	must(t, err)
	one := &handler{setup: make(chan int, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			if consumers.Consume(ctx, []string{topic}, one) != nil {
				return
			}
		}
	}()
	leave := func() {
		cancel()
		<-ended
		consumers.Close()
	}
	t.Cleanup(leave)
	return one, leave
}

func TestSaramaGroup(t *testing.T) {
	ctx := start(t)
	topic, group := topicOf(t, 4, nil), unique()
	one, _ := saramaJoin(t, group, topic)
	equal(t, 4, <-one.setup)
	two, leave := saramaJoin(t, group, topic)
	equal(t, 2, <-two.setup)
	equal(t, 2, <-one.setup)
	produceNumbers(t, ctx, topic, 4, 0, 40)
	eventually(t, "all is read", func() bool { return one.got.Load() == 20 && two.got.Load() == 20 })
	leave()
	equal(t, 4, <-one.setup)
	produceNumbers(t, ctx, topic, 4, 40, 60)
	eventually(t, "the rest is read", func() bool { return one.got.Load() == 40 })
}

func TestSaramaAdmin(t *testing.T) {
	start(t)
	administrator, err := sarama.NewClusterAdmin([]string{address()}, saramaConfig())
	must(t, err)
	defer administrator.Close()
	topic := unique()
	must(t, administrator.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false))
	eventually(t, "it is listed", func() bool {
		topics, err := administrator.ListTopics()
		return err == nil && topics[topic].NumPartitions == 2
	})
	var refused *sarama.TopicError
	if err := administrator.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false); !errors.As(err, &refused) || refused.Err != sarama.ErrTopicAlreadyExists {
		t.Fatal(err)
	}
	must(t, administrator.CreatePartitions(topic, 3, nil, false))
	value := "70000"
	must(t, administrator.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}}, false))
	eventually(t, "it is set", func() bool {
		entries, err := administrator.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}})
		return err == nil && len(entries) == 1 && entries[0].Value == value
	})
	must(t, administrator.DeleteTopic(topic))
}
