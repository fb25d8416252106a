package heap_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/state"
)

// link is one stream of a chain.
type link struct {
	keyed snapshot.Keyed
	bytes []byte
}

// checkpoint is a capture that was written, with the streams that it stands on.
type checkpoint struct {
	base  []link
	own   link
	epoch heap.Epoch
	model map[string]string // by key: its whole state
	clock int64
	c     *heap.Capture
	done  chan error // until it is written
}

func (c *checkpoint) chain() []link { return append(c.base[:len(c.base):len(c.base)], c.own) }

// lived has everything, and what expires or is a set of deadlines.
type lived struct {
	everything
	Alarms state.Timers             `timer:"alarms,event"`
	Fading state.Map[string, int64] `state:"fading,ttl=20s,clock=processing"`
	Lately state.List[string]       `state:"lately,ttl=10s,clock=processing"`
	Mood   state.Value[string]      `state:"mood,ttl=15s,clock=processing"`
}

func (p *lived) change(rnd *rand.Rand) {
	x := rnd.Int64N(1000)
	word := fmt.Sprint("w", x%30)
	switch rnd.IntN(16) {
	case 0:
		p.Alarms.AtMillis(x * 1000)
	case 1:
		p.Alarms.DeleteMillis(x * 1000)
		for at := range p.Alarms.All() {
			p.Alarms.Delete(at)
			break
		}
	case 2:
		p.Fading.Put(word, x)
	case 3:
		p.Fading.Delete(word)
	case 4:
		p.Lately.Append(word)
	case 5:
		p.Mood.Set(word)
	case 6:
		p.Alarms.Clear()
		p.Fading.Clear()
	default:
		p.everything.change(rnd)
	}
}

func (p *lived) dump() string {
	b := p.everything.dump()
	for at := range p.Alarms.All() {
		b += fmt.Sprint(" at ", at.UnixMilli())
	}
	for k, v := range p.Fading.All() {
		b += fmt.Sprint(" ", k, "~", v)
	}
	return b + fmt.Sprint(slices.Collect(p.Lately.All()), p.Mood.Get())
}

func (p *lived) nothing() string { return p.everything.nothing() + "[]" }

// life is a store of every kind of state, with what it should hold.
type life struct {
	t         *testing.T
	rnd       *rand.Rand
	p         *lived
	s         *heap.Store[string]
	model     map[string]string
	keys      []string
	confirmed *checkpoint
	pending   []*checkpoint
	watermark int64
	clock     int64

	increments, longest, fired int
}

const lifeKeys = 200

func (l *life) start() {
	l.p = new(lived)
	l.s = openTracking(l.t, l.p, keyhash.String)
	l.model = map[string]string{}
	l.s.SetTime(l.clock)
}

// change changes some keys, and fires timers now and then.
func (l *life) change() {
	l.clock += l.rnd.Int64N(500)
	l.s.SetTime(l.clock)
	if l.rnd.IntN(3) == 0 {
		l.s.Sweep(50)
	}
	var keys []string
	for range 1 + l.rnd.IntN(30) {
		keys = append(keys, fmt.Sprint("key-", l.rnd.IntN(lifeKeys)))
	}
	at(l.s, keyhash.String, func(string) { l.p.change(l.rnd) }, keys...)
	if l.rnd.IntN(4) == 0 {
		l.watermark += l.rnd.Int64N(20_000)
		err := l.s.FireEvent(l.watermark, func(r heap.Ref, key string, _ int, _ int64) error {
			l.s.Seek(r)
			l.p.change(l.rnd)
			l.fired++
			keys = append(keys, key)
			return nil
		})
		if err != nil {
			l.t.Fatal(err)
		}
		l.s.EndBatch()
	}
	at(l.s, keyhash.String, func(k string) { l.model[k] = l.p.dump() }, keys...)
}

// capture begins a checkpoint, an increment if it can be one, and has it written beside.
func (l *life) capture() {
	at(l.s, keyhash.String, func(k string) { l.model[k] = l.p.dump() }, l.keys...) // some of it may have expired
	c := &checkpoint{model: maps.Clone(l.model), clock: l.clock, done: make(chan error, 1)}
	if l.confirmed == nil || l.rnd.IntN(12) == 0 {
		c.c = l.s.Capture()
	} else {
		c.c = l.s.CaptureSince(l.confirmed.epoch)
	}
	if c.epoch = c.c.Epoch(); c.c.IsIncrement() {
		c.base = l.confirmed.chain()
		l.increments++
		l.longest = max(l.longest, len(c.base)+1)
	}
	l.pending = append(l.pending, c)
	go func() {
		defer c.c.Release()
		var b bytes.Buffer
		k, err := c.c.Write(&b)
		c.own = link{k, b.Bytes()}
		c.done <- err
	}()
}

// confirm confirms a checkpoint, and so that no older one will be.
func (l *life) confirm(i int) {
	c := l.pending[i]
	if err := <-c.done; err != nil {
		l.t.Fatal(err)
	}
	for _, older := range l.pending[:i] {
		l.abort(older)
	}
	l.pending = l.pending[i+1:]
	l.check(c)
	l.confirmed = c
	l.s.Confirmed(c.epoch)
}

// abort gives a checkpoint up, whether it was written or not.
func (l *life) abort(c *checkpoint) {
	c.c.Release()
	<-c.done
}

// check restores a checkpoint at some parallelism and compares.
func (l *life) check(c *checkpoint) {
	parallelism := 1 + l.rnd.IntN(3)
	got := map[string]string{}
	for subtask := range parallelism {
		p := new(lived)
		s := open(l.t, p, subtask, parallelism, keyhash.String)
		s.SetTime(c.clock)
		restore(l.t, s, c.chain(), keygroup.RangeOf(subtask, parallelism, maxParallelism))
		n := 0
		for _, k := range l.keys {
			if !owns(subtask, parallelism, k) {
				continue
			}
			at(s, keyhash.String, func(string) { got[k] = p.dump() }, k)
			if got[k] != p.nothing() {
				n++
			}
		}
		s.Sweep(1 << 20) // what has expired may have come along
		if s.Len() != n {
			l.t.Fatalf("%d rows for %d keys with state", s.Len(), n)
		}
		s.Close()
	}
	l.checkScan(c)
	for k, v := range got {
		if want := c.model[k]; v != want && !(want == "" && v == new(lived).nothing()) {
			l.t.Fatalf("epoch %d, chain of %d: key %s is restored as %q, want %q", c.epoch, len(c.chain()), k, v, want)
		}
	}
}

// checkScan scans the chain of a checkpoint and compares that with a scan of all that was restored from it.
func (l *life) checkScan(c *checkpoint) {
	s := open(l.t, new(lived), 0, 1, keyhash.String)
	s.SetTime(c.clock)
	restore(l.t, s, c.chain(), keygroup.Range{First: 0, Last: maxParallelism - 1})
	k, b := write(l.t, s.Capture())
	s.Close()
	whole, chain := scanned(l.t, []link{{k, b}}), scanned(l.t, c.chain())
	for key, want := range whole {
		if chain[key] != want {
			l.t.Fatalf("a chain of %d is scanned as %q, what was restored from it as %q", len(c.chain()), chain[key], want)
		}
	}
}

// scanned returns what a scan tells of each key, but for what may have expired.
func scanned(t testing.TB, chain []link) map[string]string {
	var handles []snapshot.Keyed
	var readers []io.ReaderAt
	for _, l := range chain {
		handles, readers = append(handles, l.keyed), append(readers, bytes.NewReader(l.bytes))
	}
	scan, err := keyed.NewScanChain(handles, maxParallelism, keyhash.Name, keygroup.GroupRule, readers)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	err = scan.Rows(func(r keyed.Row) error {
		if rows[string(r.Key)] != "" {
			t.Fatalf("key %q is there twice", r.Key)
		}
		var b strings.Builder
		for i, c := range r.Cells {
			if s := &scan.States[i]; !s.Expires() {
				fmt.Fprintf(&b, "%s %d %x %d %d;", s.Name, c.Entries, c.Bytes, c.Deadline, c.Deadlines)
			}
		}
		rows[string(r.Key)] = b.String()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func restore[K comparable](t testing.TB, s *heap.Store[K], chain []link, groups keygroup.Range) {
	t.Helper()
	for _, link := range chain {
		k := link.keyed
		k.Range = k.Range.Intersect(groups)
		if err := s.Restore(k, bytes.NewReader(link.bytes)); err != nil {
			t.Fatal(err)
		}
	}
}

// crash goes on from the last confirmed checkpoint, on its chain or with a new one.
func (l *life) crash() {
	for _, c := range l.pending {
		l.abort(c)
	}
	l.s.Close()
	l.pending = nil
	l.start()
	if l.confirmed == nil {
		return
	}
	restore(l.t, l.s, l.confirmed.chain(), keygroup.Range{First: 0, Last: maxParallelism - 1})
	l.model = maps.Clone(l.confirmed.model)
	epoch, ok := l.s.Restored()
	if !ok {
		l.t.Fatal("a chain of the same program cannot go on")
	}
	if l.rnd.IntN(3) == 0 {
		l.confirmed = nil
		return
	}
	c := *l.confirmed
	c.epoch = epoch
	l.confirmed = &c
}

// A store of every kind of state is changed at random, captured as a whole or as an increment to the last capture that was confirmed, with
// several captures under way at once, of which some are confirmed, late or at once, and others given up; and it crashes and goes on from what
// was confirmed. Whatever is confirmed is restored at some parallelism and must be the state of its moment, by a model in a Go map.
func TestChainIsTheStateOfItsMoment(t *testing.T) {
	seeds := uint64(4)
	if raceDetector {
		seeds = 1
	}
	for seed := range seeds {
		l := &life{t: t, rnd: rand.New(rand.NewPCG(seed, 1))}
		for i := range lifeKeys {
			l.keys = append(l.keys, fmt.Sprint("key-", i))
		}
		l.start()
		for range 400 {
			switch n := l.rnd.IntN(20); {
			case n < 12:
				l.change()
			case n < 16 && len(l.pending) < 4:
				l.capture()
			case n < 18 && len(l.pending) > 0:
				l.confirm(l.rnd.IntN(len(l.pending)))
			case n == 18 && len(l.pending) > 0:
				i := l.rnd.IntN(len(l.pending))
				l.abort(l.pending[i])
				l.pending = append(l.pending[:i], l.pending[i+1:]...)
			case n == 19 && l.rnd.IntN(4) == 0:
				l.crash()
			}
		}
		for _, c := range l.pending {
			l.abort(c)
		}
		if l.increments < 20 || l.longest < 4 || l.fired < 20 {
			t.Errorf("seed %d: %d increments, %d in the longest chain, %d timers fired: the test shows little", seed, l.increments, l.longest, l.fired)
		}
	}
}

// owns reports whether a key belongs to a subtask.
func owns(subtask, parallelism int, key string) bool {
	return keygroup.RangeOf(subtask, parallelism, maxParallelism).Contains(keygroup.Of(keyhash.String(key), maxParallelism))
}
