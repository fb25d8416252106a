package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/weirstream/weir/bench/internal/nexmark"
)

// pebbleUpdate: count keys in state on disk that holds all of them already. The limit is what a careful hand would write against Pebble: p
// loops, each with a database of its own in a shared block cache, that get a count, add one and set it, without a log. The engine has the same
// memory for blocks and a cache of rows before it, which has room for an eighth of the keys.
var pebbleUpdate = program{
	name:  "pebble-update",
	about: "read-modify-write of 1 M keys in Pebble, drawn evenly and by Zipf's law",
	workloads: []workload{
		pebbleUpdateOf("zipf-1m", drawnByZipf, bar{Figure: "ratio_cpu", AtLeast: 1, Goal: 5}),
		pebbleUpdateOf("uniform-1m", keyClass.drawnFrom, bar{Figure: "ratio_cpu", AtLeast: 0.7}),
	},
}

const (
	pebbleKeys   = 1_000_000
	pebbleMemory = 128 << 20
)

// drawing says how keys are drawn from the first n of a class.
type drawing func(c keyClass, n int64) func(first int64, out []int64)

func pebbleUpdateOf(name string, draw drawing, bars ...bar) workload {
	return workload{
		name: name, size: size{pebbleKeys, 2_000_000}, quick: fewKeys, cold: true, // the fill warms up
		limit:   side{name: "limit", run: func(t *task) (outcome, error) { return updatePebbles(t, draw) }},
		engines: pebbleUpdateEngines(draw, bars...),
	}
}

// drawnByZipf draws by Zipf's law with exponent 1.1: of a million keys a thousandth gets more than half of the draws.
func drawnByZipf(c keyClass, n int64) func(first int64, out []int64) {
	even := c.drawnFrom(1 << 30) // as a source of chance
	const s = 1.1
	tail := math.Pow(float64(n), 1-s) - 1
	return func(first int64, out []int64) {
		even(first, out)
		for i, x := range out {
			u := float64(x/c.p) / (1 << 30)
			rank := min(int64(math.Pow(tail*u+1, 1/(1-s))), n) - 1
			out[i] = rank*7919%n*c.p + c.index + 1 // so that the frequent ones are not neighbours
		}
	}
}

// updatePebbles is the limit.
func updatePebbles(t *task, draw drawing) (outcome, error) {
	cache := pebble.NewCache(pebbleMemory)
	defer cache.Unref()
	p := t.parallelism
	sums, errs := make([]tally, p), make([]error, p)
	dbs := make([]*pebble.DB, p)
	for i := range dbs {
		var err error
		if dbs[i], err = openPebble(filepath.Join(t.dir, fmt.Sprint("db", i)), cache, p); err != nil {
			return outcome{}, err
		}
		defer dbs[i].Close()
	}
	inParallel(p, func(index int) {
		insert := nexmark.NewReader(ownKeys(index, p).inOrder, 0, 1, ownKeysOf(t.keys, index, p))
		sums[index], errs[index] = countInPebble(insert, dbs[index])
	})
	t.meter.Start()
	inParallel(p, func(index int) {
		updates := nexmark.NewReader(draw(ownKeys(index, p), ownKeysOf(t.keys, index, p)), index, p, t.events)
		sum, err := countInPebble(updates, dbs[index])
		sums[index].merge(sum)
		errs[index] = firstError(errs[index], err)
	})
	t.meter.Stop()
	for _, err := range errs {
		if err != nil {
			return outcome{}, err
		}
	}
	return outcome{tally: total(sums)}, nil
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func openPebble(dir string, cache *pebble.Cache, p int) (*pebble.DB, error) {
	o := &pebble.Options{Cache: cache, DisableWAL: true, MemTableSize: uint64(pebbleMemory / 2 / (3 * p)), FormatMajorVersion: pebble.FormatNewest}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return pebble.Open(dir, o)
}

// countInPebble counts all keys of the reader.
func countInPebble(r *nexmark.Reader[int64], db *pebble.DB) (tally, error) {
	recs := make([]int64, inL1)
	var sum tally
	var key, value [8]byte
	for n := r.Read(recs); n > 0; n = r.Read(recs) {
		for _, k := range recs[:n] {
			binary.BigEndian.PutUint64(key[:], hashOf(k))
			count := int64(1)
			old, closer, err := db.Get(key[:])
			if err == nil {
				count += int64(binary.LittleEndian.Uint64(old))
				err = closer.Close()
			}
			if err != nil && err != pebble.ErrNotFound {
				return sum, err
			}
			binary.LittleEndian.PutUint64(value[:], uint64(count))
			if err := db.Set(key[:], value[:], pebble.NoSync); err != nil {
				return sum, err
			}
			sum.add(k, count)
		}
	}
	return sum, nil
}
