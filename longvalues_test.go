package weir_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/state"
)

// essays keeps values that are long at times, and tells what they are.
type essays struct {
	Text  state.Value[[]byte] `state:"text"`
	Title state.Value[string] `state:"title"`
	Notes state.Value[notes]  `state:"notes,ttl=1000h"`
	Count state.Value[int]    `state:"count"`
}

type notes struct{ All []string }

func (p *essays) On(c *weir.Ctx[int, string], r reading) error {
	e := essay{p.Text.Get(), p.Title.Get(), p.Notes.Get().All}
	e.goOn(r.Seq)
	if e.title == "" {
		p.Title.Clear()
	} else {
		p.Title.Set(e.title)
	}
	p.Text.Set(e.text)
	p.Notes.Set(notes{e.notes})
	p.Count.Set(p.Count.Get() + 1)
	c.Emit(e.told(r, p.Count.Get()))
	return nil
}

// essay is what essays has for a key.
type essay struct {
	text  []byte
	title string
	notes []string
}

// goOn makes the values longer and shorter, beyond the length from which they are outlying and back, and changes some of what is in them.
func (e *essay) goOn(seq int) {
	switch seq % 8 {
	case 7:
		e.text = e.text[:len(e.text)/20]
	case 6:
		e.text = slices.Clone(e.text)
		e.text[len(e.text)/2]++
	default:
		e.text = append(slices.Clone(e.text), strings.Repeat(fmt.Sprintf("%d ", seq), 4000)...)
	}
	switch seq % 5 {
	case 0:
		e.title = strings.Repeat(fmt.Sprintf("%d ", seq), 10_000)
	case 4:
		e.title = ""
	}
	if e.notes = append(slices.Clone(e.notes), strings.Repeat("note ", 1000)); len(e.notes) > 12 {
		e.notes = e.notes[10:]
	}
}

func (e *essay) told(r reading, count int) string {
	return fmt.Sprintf("key %d seq %d count %d: %d %x, %d %x, %d", r.Key, r.Seq, count, len(e.text), crc32.ChecksumIEEE(e.text), len(e.title),
		crc32.ChecksumIEEE([]byte(e.title)), len(e.notes))
}

// TestLongValues takes a job with long values from the heap to Pebble and back through savepoints in canonical format, and through kills and restarts from
// checkpoints, with and without a changelog, at another parallelism each time, with less memory for rows than one of the values takes. Its output is that of
// a run that nobody has disturbed.
func TestLongValues(t *testing.T) {
	w := newWorld(t, 2, 60)
	w.wanted = func() (all []string) {
		for _, split := range w.in.splits {
			keys, counts := map[int]*essay{}, map[int]int{}
			for _, r := range split {
				if keys[r.Key] == nil {
					keys[r.Key] = &essay{}
				}
				counts[r.Key]++
				keys[r.Key].goOn(r.Seq)
				all = append(all, keys[r.Key].told(r, counts[r.Key]))
			}
		}
		slices.Sort(all)
		return all
	}
	w.build = func(j *weir.Job) {
		keyed := weir.KeyBy(weir.From(j, "in", w.in), func(r reading) int { return r.Key })
		weir.To(weir.Process(keyed, "essays", &essays{}), "out", w.sink)
	}
	for _, step := range []struct {
		backend     string
		changelog   bool
		parallelism int
		position    int
		how         string
	}{
		{"hashmap", false, 2, 15, "savepoint"}, {"pebble", false, 3, 30, "savepoint"}, {"pebble", false, 1, 45, "kill"}, {"pebble", true, 2, 60, "kill"},
		{"pebble", true, 2, 75, "native"}, {"pebble", false, 3, 90, "savepoint"}, {"hashmap", true, 1, 105, "savepoint"}, {"pebble", true, 2, 120, "savepoint"},
	} {
		w.set["state.backend.type"] = step.backend
		w.set["state.backend.cache-size"] = "64 kb"
		w.set["state.backend.pebble.localdir"] = filepath.Join(t.TempDir(), "state")
		w.set["state.backend.pebble.memory.fixed-per-tm"] = "2 mb"
		w.set["execution.checkpointing.incremental"] = "true"
		w.set["state.changelog.enabled"] = fmt.Sprint(step.changelog)
		w.set["state.changelog.storage"] = "filesystem"
		e := w.running(step.parallelism, step.position)
		switch step.how {
		case "kill":
			w.checkpoints(e, 2)
			e.Abort()
			w.end(e, weir.Aborted)
		case "native":
			w.take(e.StopWithSavepoint(context.Background(), savepoints, weir.NativeFormat()))
			w.end(e, weir.Finished)
		default:
			w.take(e.StopWithSavepoint(context.Background(), savepoints))
			w.end(e, weir.Finished)
		}
	}
	w.finish(2)
	w.check()
}
