// Package amqp091tests is judged by amqp091-go: what a Go application does with RabbitMQ.
package amqp091tests

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const limit = 20 * time.Second

var serial atomic.Int64

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func address(user, vhost string) string {
	return fmt.Sprintf("amqp://%s@%s:%s/%s", user, env("AMQP_HOST", "127.0.0.1"), env("AMQP_PORT", "5672"), vhost)
}

func unique() string {
	return fmt.Sprintf("go-%d-%d", os.Getpid(), serial.Add(1))
}

// start skips what expected_failures.txt lists (reasons in ../EXPECTED_FAILURES.md), and gives a connection.
func start(t *testing.T) *amqp.Connection {
	t.Helper()
	t.Parallel()
	if file, err := os.Open("expected_failures.txt"); err == nil {
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if name, _, _ := strings.Cut(lines.Text(), "#"); strings.TrimSpace(name) == t.Name() {
				t.Skip("EXPECTED_FAILURES.md")
			}
		}
	}
	return connect(t)
}

func connect(t *testing.T) *amqp.Connection {
	t.Helper()
	connection, err := amqp.DialConfig(address("guest:guest", ""), amqp.Config{Vhost: "/", Dial: amqp.DefaultDial(limit)})
	must(t, err)
	t.Cleanup(func() { connection.Close() })
	return connection
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func channelOf(t *testing.T, connection *amqp.Connection) *amqp.Channel {
	t.Helper()
	channel, err := connection.Channel()
	must(t, err)
	return channel
}

func queueOf(t *testing.T, channel *amqp.Channel, arguments amqp.Table) string {
	t.Helper()
	queue, err := channel.QueueDeclare(unique(), false, false, true, false, arguments)
	must(t, err)
	return queue.Name
}

func publish(t *testing.T, channel *amqp.Channel, exchange, key string, message amqp.Publishing) {
	t.Helper()
	must(t, channel.PublishWithContext(context.Background(), exchange, key, false, false, message))
}

func text(body string) amqp.Publishing { return amqp.Publishing{Body: []byte(body)} }

func consume(t *testing.T, channel *amqp.Channel, queue string, autoAck bool) <-chan amqp.Delivery {
	t.Helper()
	deliveries, err := channel.Consume(queue, "", autoAck, false, false, false, nil)
	must(t, err)
	return deliveries
}

func next(t *testing.T, deliveries <-chan amqp.Delivery) amqp.Delivery {
	t.Helper()
	select {
	case delivery, ok := <-deliveries:
		if !ok {
			t.Fatal("the consumer has ended")
		}
		return delivery
	case <-time.After(limit):
		t.Fatal("no delivery in time")
	}
	panic("unreachable")
}

func expectBodies(t *testing.T, deliveries <-chan amqp.Delivery, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if got := string(next(t, deliveries).Body); got != body {
			t.Fatalf("got %q, not %q", got, body)
		}
	}
}

func expectNone(t *testing.T, deliveries <-chan amqp.Delivery) {
	t.Helper()
	select {
	case delivery := <-deliveries:
		t.Fatalf("unexpected: %q", delivery.Body)
	case <-time.After(150 * time.Millisecond):
	}
}

func expectError(t *testing.T, err error, code int, text string) {
	t.Helper()
	var failure *amqp.Error
	if !errors.As(err, &failure) {
		t.Fatalf("not an AMQP error: %v", err)
	}
	if failure.Code != code || !strings.HasPrefix(failure.Reason, text) {
		t.Fatalf("got %d %q, not %d %q", failure.Code, failure.Reason, code, text)
	}
}

func TestServerProperties(t *testing.T) {
	connection := start(t)
	capabilities := connection.Properties["capabilities"].(amqp.Table)
	for _, name := range []string{"publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked", "per_consumer_qos", "direct_reply_to"} {
		if capabilities[name] != true {
			t.Errorf("no capability %s", name)
		}
	}
}

func TestBadPassword(t *testing.T) {
	start(t)
	_, err := amqp.Dial(address("guest:wrong", ""))
	expectError(t, err, 403, "")
}

func TestUnknownVhost(t *testing.T) {
	start(t)
	_, err := amqp.Dial(address("guest:guest", "nowhere"))
	expectError(t, err, 403, "no access to this vhost")
}

func TestChannelErrorLeavesTheRestAlone(t *testing.T) {
	connection := start(t)
	bad, good, name := channelOf(t, connection), channelOf(t, connection), unique()
	closed := bad.NotifyClose(make(chan *amqp.Error, 1))
	_, err := bad.QueueDeclarePassive(name, false, false, false, false, nil)
	expectError(t, err, 404, fmt.Sprintf("NOT_FOUND - no queue '%s' in vhost '/'", name))
	expectError(t, <-closed, 404, "NOT_FOUND")
	if connection.IsClosed() || good.IsClosed() {
		t.Fatal("more than the channel was closed")
	}
	queueOf(t, good, nil)
}

func TestConnectionErrorIsToldToAll(t *testing.T) {
	connection := start(t)
	channel := channelOf(t, connection)
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	channel.ExchangeDeclare(unique(), "x-nonsense-type", false, true, false, false, nil)
	expectError(t, <-closed, 503, "COMMAND_INVALID - unknown exchange type 'x-nonsense-type'")
}

func TestInequivalentArguments(t *testing.T) {
	connection := start(t)
	queue := queueOf(t, channelOf(t, connection), amqp.Table{"x-max-length": int32(70000)})
	_, err := channelOf(t, connection).QueueDeclare(queue, false, false, true, false, amqp.Table{"x-max-length": int32(80000)})
	expectError(t, err, 406, fmt.Sprintf("PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '%s' in vhost '/': received '80000' but current is '70000'", queue))
}

func TestExclusiveQueueOfAnother(t *testing.T) {
	queue := queueOf(t, channelOf(t, start(t)), nil)
	_, err := channelOf(t, connect(t)).Consume(queue, "", true, false, false, false, nil)
	expectError(t, err, 405, fmt.Sprintf("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '%s'", queue))
}

func TestDeferredConfirms(t *testing.T) {
	channel := channelOf(t, start(t))
	must(t, channel.Confirm(false))
	queue := queueOf(t, channel, nil)
	var waiting []*amqp.DeferredConfirmation
	for i := range 500 {
		confirmation, err := channel.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{Body: []byte(fmt.Sprint(i)), DeliveryMode: amqp.Persistent})
		must(t, err)
		waiting = append(waiting, confirmation)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for i, confirmation := range waiting {
		acked, err := confirmation.WaitContext(ctx)
		must(t, err)
		if !acked || confirmation.DeliveryTag != uint64(i+1) {
			t.Fatalf("%d: %v, tag %d", i, acked, confirmation.DeliveryTag)
		}
	}
	state, err := channel.QueueDeclarePassive(queue, false, false, true, false, nil)
	must(t, err)
	if state.Messages != 500 {
		t.Fatal(state.Messages)
	}
}

func TestNackOfAFullQueue(t *testing.T) {
	channel := channelOf(t, start(t))
	must(t, channel.Confirm(false))
	queue := queueOf(t, channel, amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	for i, expected := range []bool{true, false, false} {
		confirmation, err := channel.PublishWithDeferredConfirm("", queue, false, false, text("x"))
		must(t, err)
		if confirmation.Wait() != expected {
			t.Fatal(i)
		}
	}
}

func TestReturnBeforeConfirm(t *testing.T) {
	channel := channelOf(t, start(t))
	must(t, channel.Confirm(false))
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	confirmation, err := channel.PublishWithDeferredConfirm("", unique(), true, false, text("lost"))
	must(t, err)
	if !confirmation.Wait() {
		t.Fatal("nacked")
	}
	select {
	case returned := <-returns:
		if returned.ReplyCode != 312 || returned.ReplyText != "NO_ROUTE" || string(returned.Body) != "lost" {
			t.Fatalf("%+v", returned)
		}
	default:
		t.Fatal("confirmed before it was returned")
	}
}

func TestPropertiesAndHeaders(t *testing.T) {
	channel := channelOf(t, start(t))
	queue := queueOf(t, channel, nil)
	stamp := time.Unix(1_700_000_000, 0)
	sent := amqp.Publishing{
		Headers: amqp.Table{
			"bool": true, "byte": byte(200), "int8": int8(-5), "int16": int16(-300), "int32": int32(-70000), "int64": int64(1 << 60),
			"float32": float32(0.5), "float64": 3.25, "text": "grüß", "bytes": []byte{0, 255}, "time": stamp, "nil": nil,
			"decimal": amqp.Decimal{Scale: 2, Value: 314},
			"table":   amqp.Table{"inner": amqp.Table{"innermost": "x"}},
			"array":   []any{"a", int32(1), []any{true}, amqp.Table{"k": int64(9)}},
		},
		ContentType: "text/plain", ContentEncoding: "identity", DeliveryMode: 2, Priority: 7, CorrelationId: "c", ReplyTo: "r",
		Expiration: "60000", MessageId: "m", Timestamp: stamp, Type: "t", UserId: "guest", AppId: "a", Body: []byte("x"),
	}
	publish(t, channel, "", queue, sent)
	got := next(t, consume(t, channel, queue, true))
	received := amqp.Publishing{
		Headers: got.Headers, ContentType: got.ContentType, ContentEncoding: got.ContentEncoding, DeliveryMode: got.DeliveryMode,
		Priority: got.Priority, CorrelationId: got.CorrelationId, ReplyTo: got.ReplyTo, Expiration: got.Expiration, MessageId: got.MessageId,
		Timestamp: got.Timestamp, Type: got.Type, UserId: got.UserId, AppId: got.AppId, Body: got.Body,
	}
	for key, value := range sent.Headers {
		if !reflect.DeepEqual(received.Headers[key], value) {
			t.Errorf("%s: got %#v, not %#v", key, received.Headers[key], value)
		}
	}
	sent.Headers, received.Headers = nil, nil
	if !reflect.DeepEqual(sent, received) {
		t.Errorf("got %+v, not %+v", received, sent)
	}
}

func TestBodies(t *testing.T) {
	channel := channelOf(t, start(t))
	queue := queueOf(t, channel, nil)
	large := bytes.Repeat([]byte("polybus"), 500_000)
	for _, body := range [][]byte{large, {}, []byte("x")} {
		publish(t, channel, "", queue, amqp.Publishing{Body: body})
	}
	deliveries := consume(t, channel, queue, true)
	for _, body := range [][]byte{large, {}, []byte("x")} {
		if !bytes.Equal(next(t, deliveries).Body, body) {
			t.Fatal("another body")
		}
	}
}

func TestExchanges(t *testing.T) {
	channel := channelOf(t, start(t))
	for _, c := range []struct {
		kind, pattern, key string
		arguments, headers amqp.Table
		arrives            bool
	}{
		{"direct", "k", "k", nil, nil, true},
		{"direct", "k", "kk", nil, nil, false},
		{"fanout", "", "any", nil, nil, true},
		{"topic", "a.*.#", "a.b.c.d", nil, nil, true},
		{"topic", "a.*.#", "a", nil, nil, false},
		{"headers", "", "", amqp.Table{"x-match": "all", "a": "1", "b": int32(2)}, amqp.Table{"a": "1", "b": int32(2)}, true},
		{"headers", "", "", amqp.Table{"x-match": "all", "a": "1", "b": int32(2)}, amqp.Table{"a": "1"}, false},
		{"headers", "", "", amqp.Table{"x-match": "any", "a": "1", "b": int32(2)}, amqp.Table{"a": "1"}, true},
	} {
		exchange, queue := unique(), queueOf(t, channel, nil)
		must(t, channel.ExchangeDeclare(exchange, c.kind, false, true, false, false, nil))
		must(t, channel.QueueBind(queue, c.pattern, exchange, false, c.arguments))
		deliveries := consume(t, channel, queue, true)
		publish(t, channel, exchange, c.key, amqp.Publishing{Headers: c.headers, Body: []byte("x")})
		if c.arrives {
			expectBodies(t, deliveries, "x")
		} else {
			expectNone(t, deliveries)
		}
	}
}

func TestExchangeToExchange(t *testing.T) {
	channel := channelOf(t, start(t))
	source, destination, queue := unique(), unique(), queueOf(t, channel, nil)
	for _, name := range []string{source, destination} {
		must(t, channel.ExchangeDeclare(name, "topic", false, true, false, false, nil))
	}
	must(t, channel.ExchangeBind(destination, "a.#", source, false, nil))
	must(t, channel.QueueBind(queue, "#.z", destination, false, nil))
	for _, key := range []string{"a.z", "a.b", "b.z"} {
		publish(t, channel, source, key, text(key))
	}
	deliveries := consume(t, channel, queue, true)
	expectBodies(t, deliveries, "a.z")
	expectNone(t, deliveries)
}

func TestGet(t *testing.T) {
	channel := channelOf(t, start(t))
	must(t, channel.Confirm(false))
	queue := queueOf(t, channel, nil)
	if _, ok, err := channel.Get(queue, true); ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, body := range []string{"1", "2"} {
		confirmation, err := channel.PublishWithDeferredConfirm("", queue, false, false, text(body))
		must(t, err)
		confirmation.Wait()
	}
	message, ok, err := channel.Get(queue, true)
	if !ok || err != nil || message.MessageCount != 1 || string(message.Body) != "1" {
		t.Fatal(ok, err, message)
	}
}

func TestPrefetchAndRequeueInPlace(t *testing.T) {
	channel := channelOf(t, start(t))
	queue := queueOf(t, channel, nil)
	for i := range 6 {
		publish(t, channel, "", queue, text(fmt.Sprint(i)))
	}
	must(t, channel.Qos(2, 0, false))
	deliveries := consume(t, channel, queue, false)
	first, second := next(t, deliveries), next(t, deliveries)
	expectNone(t, deliveries)
	must(t, first.Nack(false, true))
	again := next(t, deliveries)
	if string(again.Body) != "0" || !again.Redelivered {
		t.Fatalf("%+v", again)
	}
	must(t, second.Reject(false))
	expectBodies(t, deliveries, "2")
	must(t, channel.Ack(0, true))
	expectBodies(t, deliveries, "3", "4")
}

func TestLostConnectionRequeues(t *testing.T) {
	channel := channelOf(t, start(t))
	queue, err := channel.QueueDeclare(unique(), false, false, false, false, nil)
	must(t, err)
	defer channel.QueueDelete(queue.Name, false, false, false)
	for i := range 3 {
		publish(t, channel, "", queue.Name, text(fmt.Sprint(i)))
	}
	other := connect(t)
	deliveries := consume(t, channelOf(t, other), queue.Name, false)
	for range 3 {
		next(t, deliveries)
	}
	must(t, other.CloseDeadline(time.Now().Add(limit)))
	deliveries = consume(t, channel, queue.Name, true)
	for i := range 3 {
		delivery := next(t, deliveries)
		if !delivery.Redelivered || string(delivery.Body) != fmt.Sprint(i) {
			t.Fatalf("%+v", delivery)
		}
	}
}

func TestCancelByServerAndClient(t *testing.T) {
	connection := start(t)
	channel := channelOf(t, connection)
	cancels := channel.NotifyCancel(make(chan string, 1))
	queue := queueOf(t, channel, nil)
	deliveries, err := channel.Consume(queue, "tag", true, false, false, false, nil)
	must(t, err)
	_, err = channelOf(t, connection).QueueDelete(queue, false, false, false)
	must(t, err)
	select {
	case tag := <-cancels:
		if tag != "tag" {
			t.Fatal(tag)
		}
	case <-time.After(limit):
		t.Fatal("not told")
	}
	if _, ok := <-deliveries; ok {
		t.Fatal("a delivery")
	}
	deliveries, err = channel.Consume(queueOf(t, channel, nil), "tag2", true, false, false, false, nil)
	must(t, err)
	must(t, channel.Cancel("tag2", false))
	if _, ok := <-deliveries; ok {
		t.Fatal("a delivery")
	}
}

func TestTransactions(t *testing.T) {
	connection := start(t)
	channel, other := channelOf(t, connection), channelOf(t, connection)
	queue := queueOf(t, channel, nil)
	deliveries := consume(t, other, queue, true)
	must(t, channel.Tx())
	publish(t, channel, "", queue, text("undone"))
	must(t, channel.TxRollback())
	publish(t, channel, "", queue, text("done"))
	expectNone(t, deliveries)
	must(t, channel.TxCommit())
	expectBodies(t, deliveries, "done")
}

func TestDeadLetters(t *testing.T) {
	channel := channelOf(t, start(t))
	dead := queueOf(t, channel, nil)
	queue := queueOf(t, channel, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	publish(t, channel, "", queue, text("bad"))
	must(t, next(t, consume(t, channel, queue, false)).Reject(false))
	delivery := next(t, consume(t, channel, dead, true))
	death := delivery.Headers["x-death"].([]any)[0].(amqp.Table)
	if _, isTime := death["time"].(time.Time); !isTime {
		t.Error(death["time"])
	}
	delete(death, "time")
	expected := amqp.Table{"count": int64(1), "reason": "rejected", "queue": queue, "exchange": "", "routing-keys": []any{queue}}
	if !reflect.DeepEqual(death, expected) || delivery.Headers["x-first-death-queue"] != queue {
		t.Fatalf("%#v", delivery.Headers)
	}
}

func TestDirectReplyTo(t *testing.T) {
	connection := start(t)
	client, server := channelOf(t, connection), channelOf(t, connection)
	queue := queueOf(t, server, nil)
	replies := consume(t, client, "amq.rabbitmq.reply-to", true)
	publish(t, client, "", queue, amqp.Publishing{ReplyTo: "amq.rabbitmq.reply-to", CorrelationId: "7"})
	request := next(t, consume(t, server, queue, true))
	publish(t, server, "", request.ReplyTo, amqp.Publishing{CorrelationId: request.CorrelationId, Body: []byte("answer")})
	if reply := next(t, replies); string(reply.Body) != "answer" || reply.CorrelationId != "7" {
		t.Fatalf("%+v", reply)
	}
}

func TestConsumerPriorityAndSingleActive(t *testing.T) {
	channel := channelOf(t, start(t))
	queue := queueOf(t, channel, nil)
	low, err := channel.Consume(queue, "", true, false, false, false, amqp.Table{"x-priority": -1})
	must(t, err)
	high, err := channel.Consume(queue, "", true, false, false, false, amqp.Table{"x-priority": 1})
	must(t, err)
	publish(t, channel, "", queue, text("x"))
	expectBodies(t, high, "x")
	expectNone(t, low)
	queue = queueOf(t, channel, amqp.Table{"x-single-active-consumer": true})
	first, err := channel.Consume(queue, "first", true, false, false, false, nil)
	must(t, err)
	second := consume(t, channel, queue, true)
	publish(t, channel, "", queue, text("1"))
	expectBodies(t, first, "1")
	must(t, channel.Cancel("first", false))
	publish(t, channel, "", queue, text("2"))
	expectBodies(t, second, "2")
}

func TestQuorumQueue(t *testing.T) {
	channel := channelOf(t, start(t))
	queue, err := channel.QueueDeclare(unique(), true, false, false, false, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum})
	must(t, err)
	defer channel.QueueDelete(queue.Name, false, false, false)
	publish(t, channel, "", queue.Name, text("x"))
	deliveries := consume(t, channel, queue.Name, false)
	must(t, next(t, deliveries).Reject(true))
	again := next(t, deliveries)
	if again.Headers["x-delivery-count"] != int64(1) {
		t.Fatalf("%#v", again.Headers)
	}
	must(t, again.Ack(false))
}

func TestHeartbeatsKeepAnIdleConnection(t *testing.T) {
	start(t)
	connection, err := amqp.DialConfig(address("guest:guest", ""), amqp.Config{Heartbeat: time.Second})
	must(t, err)
	defer connection.Close()
	select {
	case err := <-connection.NotifyClose(make(chan *amqp.Error, 1)):
		t.Fatal(err)
	case <-time.After(3500 * time.Millisecond):
	}
	queueOf(t, channelOf(t, connection), nil)
}

func TestUpdateSecret(t *testing.T) {
	must(t, start(t).UpdateSecret("guest", "test"))
}

func TestCompetingConsumersGetEveryMessageOnce(t *testing.T) {
	connection := start(t)
	publisher := channelOf(t, connection)
	queue := queueOf(t, publisher, nil)
	got := make(chan string, 5000)
	for range 4 {
		channel := channelOf(t, connection)
		must(t, channel.Qos(10, 0, false))
		deliveries := consume(t, channel, queue, false)
		go func() {
			for delivery := range deliveries {
				got <- string(delivery.Body)
				delivery.Ack(false)
			}
		}()
	}
	for i := range 5000 {
		publish(t, publisher, "", queue, text(fmt.Sprint(i)))
	}
	seen := map[string]bool{}
	for deadline := time.After(limit); len(seen) < 5000; {
		select {
		case body := <-got:
			if seen[body] {
				t.Fatalf("%s twice", body)
			}
			seen[body] = true
		case <-deadline:
			t.Fatal(len(seen))
		}
	}
}

func TestOrderOf50000Messages(t *testing.T) {
	connection := start(t)
	publisher, channel := channelOf(t, connection), channelOf(t, connection)
	queue := queueOf(t, channel, nil)
	deliveries := consume(t, channel, queue, true)
	go func() {
		for i := range 50_000 {
			if publisher.PublishWithContext(context.Background(), "", queue, false, false, text(fmt.Sprint(i))) != nil {
				return
			}
		}
	}()
	for i := range 50_000 {
		if got := string(next(t, deliveries).Body); got != fmt.Sprint(i) {
			t.Fatalf("%s in place of %d", got, i)
		}
	}
}
