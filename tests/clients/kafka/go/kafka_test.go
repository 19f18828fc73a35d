// Package kafkatests is judged by franz-go and sarama: what a Go application does with Kafka.
package kafkatests

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const limit = 25 * time.Second

var serial atomic.Int64

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func address() string {
	return env("KAFKA_HOST", "127.0.0.1") + ":" + env("KAFKA_PORT", "9092")
}

func unique() string {
	return fmt.Sprintf("go-%d-%d", os.Getpid(), serial.Add(1))
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

// start skips what expected_failures.txt lists (reasons in ../EXPECTED_FAILURES.md), and gives the time a test has.
func start(t *testing.T) context.Context {
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
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func client(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	made, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address())}, options...)...)
	must(t, err)
	t.Cleanup(made.Close)
	return made
}

func admin(t *testing.T) *kadm.Client {
	t.Helper()
	return kadm.NewClient(client(t))
}

// topicOf makes a topic that is deleted at the test's end.
func topicOf(t *testing.T, partitions int32, configs map[string]*string) string {
	t.Helper()
	name := unique()
	administrator := admin(t)
	_, err := administrator.CreateTopic(context.Background(), partitions, 1, configs, name)
	must(t, err)
	t.Cleanup(func() { administrator.DeleteTopics(context.Background(), name) })
	eventually(t, "the topic has leaders", func() bool {
		found, err := administrator.ListTopics(context.Background(), name)
		if err != nil || found[name].Err != nil || len(found[name].Partitions) != int(partitions) {
			return false
		}
		for _, partition := range found[name].Partitions {
			if partition.Err != nil || partition.Leader < 0 {
				return false
			}
		}
		return true
	})
	return name
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}
