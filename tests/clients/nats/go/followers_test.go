// Streams and buckets that take from others, as nats.go makes them.
package natstests

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// Buckets that take from others, as nats.go makes them.
func TestKeyValueOfOthers(t *testing.T) {
	ctx, js, name := start(t), js(t), unique()
	origin, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name})
	must(t, err)
	_, err = origin.Put(ctx, "a.key", []byte("one"))
	must(t, err)
	mirror, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name + "m", Mirror: &jetstream.StreamSource{Name: name}})
	must(t, err)
	sourced, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name + "s", Sources: []*jetstream.StreamSource{{Name: name}}})
	must(t, err)
	// A mirror has the subjects of its origin, by which this client does not look there.
	copied, err := js.Stream(ctx, "KV_"+name+"m")
	must(t, err)
	has := func(wanted string) bool {
		entry, err := sourced.Get(ctx, "a.key")
		message, mirrored := copied.GetLastMsgForSubject(ctx, "$KV."+name+".a.key")
		return err == nil && mirrored == nil && string(entry.Value()) == wanted && string(message.Data) == wanted
	}
	until(t, "the first value", func() bool { return has("one") })
	// What is put into a mirror goes to its origin, and comes from there.
	_, err = mirror.Put(ctx, "a.key", []byte("two"))
	must(t, err)
	until(t, "the second value", func() bool { return has("two") })
	must(t, origin.Delete(ctx, "a.key"))
	until(t, "the deletion", func() bool { _, err := sourced.Get(ctx, "a.key"); return err == jetstream.ErrKeyNotFound })
}

// A stream with what only this client has words for.
func TestStreamOfOthers(t *testing.T) {
	ctx, js := start(t), js(t)
	origin := stream(t, ctx, js, jetstream.StreamConfig{FirstSeq: 50, Compression: jetstream.S2Compression})
	name := origin.CachedInfo().Config.Name
	fill(t, ctx, js, name, 10)
	mirror, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name + "m", Mirror: &jetstream.StreamSource{Name: name, OptStartSeq: 55}})
	must(t, err)
	t.Cleanup(func() { _ = js.DeleteStream(context.Background(), name+"m") })
	until(t, "what is mirrored", func() bool {
		info, err := mirror.Info(ctx)
		must(t, err)
		return info.State.Msgs == 5 && info.State.FirstSeq == 55 && info.Mirror.Lag == 0 && info.Mirror.Name == name
	})
	ahead, err := mirror.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	must(t, err)
	batch, err := ahead.Fetch(5)
	must(t, err)
	next := uint64(55)
	for message := range batch.Messages() {
		meta, err := message.Metadata()
		must(t, err)
		equal(t, next, meta.Sequence.Stream)
		next++
	}
	equal(t, uint64(60), next)
}
