package weir_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/internal/inspect"
	"github.com/weirstream/weir/state"
)

// pages has a page for each key, which is long for some, and a map that is.
type pages struct {
	Page  state.Value[string]    `state:"page"`
	Words state.Map[int, string] `state:"words"`
	Late  state.Value[[]byte]    `state:"late,ttl=1000h"`
	Next  weir.Timer             `timer:"next,event"`
	Links state.List[string]     `state:"links"`
}

func (p *pages) On(_ *weir.Ctx[int, string], r reading) error {
	p.Page.Set(strings.Repeat(fmt.Sprint(r.Key, " "), 60))
	p.Links.Append("a")
	if r.Key%97 == 0 {
		p.Page.Set(strings.Repeat(fmt.Sprint(r.Key, " "), 20_000))
		for i := range 200 {
			p.Words.Put(i, strings.Repeat("word", 100))
		}
	}
	return nil
}

func (p *pages) OnTimer(*weir.Ctx[int, string], *weir.Timer) error { return nil }

// TestPeek shows that whoever lists a few keys of a state in Pebble's own form reads a small part of it, and is told what comes first if all is listed:
// also if the state has a log of changes, and if values and maps are long.
func TestPeek(t *testing.T) {
	for _, changelog := range []bool{false, true} {
		t.Run(fmt.Sprintf("changelog=%v", changelog), func(t *testing.T) {
			w := newWorld(t, 2, 0)
			const keys = 8_000
			for i := range keys {
				split := &w.in.splits[i%2]
				*split = append(*split, reading{Key: i, Seq: i})
			}
			w.build = func(j *weir.Job) {
				keyed := weir.KeyBy(weir.From(j, "in", w.in), func(r reading) int { return r.Key })
				weir.To(weir.Process(keyed, "pages", &pages{}), "out", w.sink)
			}
			w.set = map[string]string{
				"state.backend.type": "pebble", "state.backend.pebble.localdir": filepath.Join(t.TempDir(), "state"), "state.changelog.enabled": fmt.Sprint(changelog),
				"state.changelog.storage": "filesystem", "state.changelog.periodic-materialize.interval": "20 ms", "execution.checkpointing.incremental": "true",
			}
			e := w.running(2, keys/2-10)
			path := w.take(e.StopWithSavepoint(context.Background(), savepoints, weir.NativeFormat()))
			w.end(e, weir.Finished)

			list := func(limit int) (string, int64) {
				var b bytes.Buffer
				from := &metered{FS: w.fs}
				cut, err := inspect.Values(t.Context(), from, path, inspect.Selection{Step: "pages", Limit: limit, JSON: true}, &b)
				if err != nil || cut != (limit > 0) {
					t.Fatalf("limit %d: %v, %v", limit, cut, err)
				}
				return b.String(), from.read.Load()
			}
			all, whole := list(0)
			if n := strings.Count(all, "\n"); n != keys-20 {
				t.Fatalf("%d keys are listed, want %d", n, keys-20)
			}
			for _, limit := range []int{1, 20, 200} {
				some, part := list(limit)
				if strings.Count(some, "\n") != limit || !strings.HasPrefix(all, some) {
					t.Errorf("limit %d: these are not the first keys", limit)
				}
				if limit <= 20 && part > whole/10 {
					t.Errorf("for %d of %d keys %d of %d bytes are read", limit, keys, part, whole)
				}
			}
		})
	}
}
