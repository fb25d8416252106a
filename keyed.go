package weir

import (
	"fmt"

	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/runtime/program"
)

// Keyed is a stream whose records are sorted by a key: all records of one key reach the same subtask of the next step, in order, and find
// there the state of their key.
type Keyed[K comparable, T any] struct {
	in  Stream[T]
	key func(T) K
}

// KV is a key with a value.
type KV[K, V any] struct {
	Key   K `csv:"key" json:"key"`
	Value V `csv:"value" json:"value"`
}

// Self returns its argument: the key of records that are their own.
func Self[T any](t T) T { return t }

// KeyBy sorts the records of a stream by a key: a boolean, number or string, or an array or struct of these. The function must return the
// same key for the same record every time.
func KeyBy[K comparable, T any](in Stream[T], key func(T) K) Keyed[K, T] {
	hasher, err := batchHasher(key)
	if err != nil {
		in.job.fail("KeyBy: %w", err)
	}
	return Keyed[K, T]{in: in.with(graph.Hash, program.EdgePayload{Hasher: hasher, ShipHashes: rehasher[K]() == nil}), key: key}
}

// batchHasher returns a function that hashes the keys of a batch. The most common key types have loops of their own, since a call for each
// record costs more than the hash.
func batchHasher[K comparable, T any](key func(T) K) (func(recs []T, hashes []uint64) error, error) {
	hash, valid, err := keyhash.Of[K]()
	if err != nil {
		return nil, err
	}
	switch key := any(key).(type) {
	case func(T) string:
		return func(recs []T, hashes []uint64) error {
			for i := range recs {
				hashes[i] = keyhash.String(key(recs[i]))
			}
			return nil
		}, nil
	case func(T) int64:
		return hashInts(key), nil
	case func(T) uint64:
		return hashInts(key), nil
	case func(T) int:
		return hashInts(key), nil
	case func(T) int32:
		return hashInts(key), nil
	case func(T) uint32:
		return hashInts(key), nil
	}
	return func(recs []T, hashes []uint64) error {
		for i := range recs {
			k := key(recs[i])
			if valid != nil && !valid(&k) {
				return Permanent(fmt.Errorf("key %v of record %+v holds a NaN, which equals no key", k, recs[i]))
			}
			hashes[i] = hash(&k)
		}
		return nil
	}, nil
}

// rehasher returns a function that hashes keys again where they are used. For keys of one word that costs less than to send the hash from
// one core to another; it is nil for others.
func rehasher[K comparable]() func(keys []K, hashes []uint64) {
	switch any(*new(K)).(type) {
	case int64:
		return rehash[K, int64]
	case uint64:
		return rehash[K, uint64]
	case int:
		return rehash[K, int]
	case int32:
		return rehash[K, int32]
	case uint32:
		return rehash[K, uint32]
	}
	return nil
}

// rehash is for keys whose type K is W.
func rehash[K comparable, W int64 | uint64 | int | int32 | uint32](keys []K, hashes []uint64) {
	for i, k := range any(keys).([]W) {
		hashes[i] = uint64(k)
	}
	keyhash.Words(hashes[:len(keys)])
}

// hashInts collects the keys and hashes them together: calls of plain functions are not inlined in code that is compiled in the user's
// package.
func hashInts[K int64 | uint64 | int | int32 | uint32, T any](key func(T) K) func([]T, []uint64) error {
	return func(recs []T, hashes []uint64) error {
		for i := range recs {
			hashes[i] = uint64(key(recs[i]))
		}
		keyhash.Words(hashes[:len(recs)])
		return nil
	}
}
