package main

import (
	"fmt"
	"path/filepath"

	"github.com/weirstream/weir"
	_ "github.com/weirstream/weir/state/pebble"
)

// pebbleUpdateEngines is a Process that increments a Value on Pebble, from sources that emit all keys in order and then drawn ones.
func pebbleUpdateEngines(draw drawing, bars ...bar) []side {
	return []side{{name: "process", bars: bars, run: func(t *task) (outcome, error) {
		j := newJob(t, "pebble-update")
		j.Set("state.backend.type", "pebble")
		j.Set("state.backend.cache-size", fmt.Sprint(t.keys/8*80))
		j.Set("state.backend.pebble.localdir", filepath.Join(t.dir, "state"))
		j.Set("state.backend.pebble.memory.fixed-per-tm", fmt.Sprint(pebbleMemory))
		out := &tallying[counted]{add: tallyCounts}
		src := fillThenDrawBy(draw, t.size, newTurn(t.keys, out, t.meter.Start))
		weir.To(weir.Process(weir.KeyBy(weir.From(j, "keys", src), weir.Self), "counts", &keyCounter{}), "tally", out)
		err := runToEnd(j)
		return outcome{tally: out.total()}, err
	}}}
}
