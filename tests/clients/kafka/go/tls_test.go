package kafkatests

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// secured gives the address of the listener with TLS, and what it takes to trust it.
func secured(t *testing.T) (string, *tls.Config) {
	t.Helper()
	port := os.Getenv("KAFKAS_PORT")
	if port == "" {
		t.Skip("no listener with TLS (KAFKAS_PORT)")
	}
	pem, err := os.ReadFile(os.Getenv("KAFKA_CA"))
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return "127.0.0.1:" + port, &tls.Config{RootCAs: roots}
}

func franzWorks(t *testing.T, ctx context.Context, options ...kgo.Opt) {
	t.Helper()
	topic := topicOf(t, 1, nil)
	producer := client(t, options...)
	must(t, producer.ProduceSync(ctx, record(topic, 0, "a")).FirstErr())
	equal(t, "a", texts(take(t, ctx, reader(t, topic, 0, options...), 1)))
}

func TestFranzWithTls(t *testing.T) {
	ctx := start(t)
	address, config := secured(t)
	pair, err := tls.LoadX509KeyPair(os.Getenv("KAFKA_CERT"), os.Getenv("KAFKA_KEY"))
	must(t, err)
	config.Certificates = []tls.Certificate{pair}
	franzWorks(t, ctx, kgo.SeedBrokers(address), kgo.DialTLSConfig(config))
}

func TestFranzLogsInOverTls(t *testing.T) {
	ctx := start(t)
	address, config := secured(t)
	guest := scram.Auth{User: "guest", Pass: "guest"}
	for _, mechanism := range []kgo.Opt{
		kgo.SASL(plain.Auth{User: "guest", Pass: "guest"}.AsMechanism()),
		kgo.SASL(guest.AsSha256Mechanism()),
		kgo.SASL(guest.AsSha512Mechanism()),
	} {
		franzWorks(t, ctx, kgo.SeedBrokers(address), kgo.DialTLSConfig(config), mechanism)
	}
}

func TestSaramaLogsInOverTls(t *testing.T) {
	start(t)
	address, trust := secured(t)
	topic := topicOf(t, 1, nil)
	config := saramaConfig()
	config.Net.TLS.Enable = true
	config.Net.TLS.Config = trust
	config.Net.SASL.Enable = true
	config.Net.SASL.Mechanism = sarama.SASLTypePlaintext
	config.Net.SASL.User, config.Net.SASL.Password = "guest", "guest"
	producer, err := sarama.NewSyncProducer([]string{address}, config)
	must(t, err)
	defer producer.Close()
	_, offset, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("a")})
	must(t, err)
	equal(t, 0, offset)
}
