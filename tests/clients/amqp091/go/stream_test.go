package amqp091tests

import (
	"context"
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// readerOf begins at the place, and holds two messages at a time.
func readerOf(t *testing.T, connection *amqp.Connection, stream string, place any) <-chan amqp.Delivery {
	t.Helper()
	channel := channelOf(t, connection)
	must(t, channel.Qos(2, 0, false))
	deliveries, err := channel.Consume(stream, "", false, false, false, false, amqp.Table{"x-stream-offset": place})
	must(t, err)
	return deliveries
}

// expectFrom takes count messages, of which each says its own offset, and acknowledges them.
func expectFrom(t *testing.T, deliveries <-chan amqp.Delivery, first, count int64) {
	t.Helper()
	for offset := first; offset < first+count; offset++ {
		delivery := next(t, deliveries)
		if at := delivery.Headers["x-stream-offset"]; at != offset || string(delivery.Body) != fmt.Sprint(offset) {
			t.Fatalf("%s at %v in place of %d", delivery.Body, at, offset)
		}
		must(t, delivery.Ack(false))
	}
}

func TestStreamIsReadFromAnyPlace(t *testing.T) {
	connection := start(t)
	channel := channelOf(t, connection)
	must(t, channel.Confirm(false))
	stream, err := channel.QueueDeclare(unique(), true, false, false, false, amqp.Table{"x-queue-type": "stream"})
	must(t, err)
	defer channel.QueueDelete(stream.Name, false, false, false)
	send := func(body string) {
		confirm, err := channel.PublishWithDeferredConfirm("", stream.Name, false, false, text(body))
		must(t, err)
		if acked, err := confirm.WaitContext(context.Background()); err != nil || !acked {
			t.Fatal(acked, err)
		}
	}
	for number := range 10 {
		send(fmt.Sprint(number))
	}
	expectFrom(t, readerOf(t, connection, stream.Name, "first"), 0, 10)
	expectFrom(t, readerOf(t, connection, stream.Name, "first"), 0, 10)
	expectFrom(t, readerOf(t, connection, stream.Name, int64(7)), 7, 3)
	coming := readerOf(t, connection, stream.Name, "next")
	send("10")
	expectFrom(t, coming, 10, 1)
}
