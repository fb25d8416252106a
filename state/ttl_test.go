package state_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state"
)

// copied takes a snapshot and restores it for another processor.
func (o operator[K]) copied(t *testing.T, processor any, now int64) operator[K] {
	t.Helper()
	var b bytes.Buffer
	c := o.Capture()
	defer c.Release()
	k, err := c.Write(&b)
	if err != nil {
		t.Fatal(err)
	}
	other := newOperator(t, processor, o.hash)
	other.SetTime(now)
	if err := other.Restore(k, bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	return other
}

type fading struct {
	Count state.Value[int64]                      `state:"count,ttl=100ms"`
	Name  state.Value[string]                     `state:"name,ttl=100ms,refresh=read"`
	Tags  state.Value[[]string]                   `state:"tags,ttl=50ms"`
	Pages state.Map[string, int64]                `state:"pages,ttl=100ms"`
	Seen  state.Map[int64, []string]              `state:"seen,ttl=70ms,refresh=read"`
	Log   state.List[int64]                       `state:"log,ttl=100ms"`
	Texts state.List[string]                      `state:"texts,ttl=60ms,refresh=read"`
	Total state.Reducing[int64, state.Sum[int64]] `state:"total,ttl=80ms"`
	Level state.Value[int32]                      `state:"level,ttl=90ms,default=7"`
	Kept  state.Value[int64]                      `state:"kept"`
}

// remembered is what one state of a key should hold: what was written, and when.
type remembered[V any] struct {
	v  V
	at int64
}

type fadingModel struct {
	now   int64
	count remembered[int64]
	name  remembered[string]
	tags  remembered[string]
	pages map[string]remembered[int64]
	seen  map[int64]remembered[string]
	log   []remembered[int64]
	texts []remembered[string]
	total remembered[int64]
	level remembered[int32]
	kept  int64
}

// alive drops what is over.
func (m *fadingModel) alive() {
	if m.now-m.count.at >= 100 {
		m.count.v = 0
	}
	if m.now-m.name.at >= 100 {
		m.name.v = ""
	}
	if m.now-m.tags.at >= 50 {
		m.tags.v = ""
	}
	if m.now-m.total.at >= 80 {
		m.total.v = 0
	}
	if m.now-m.level.at >= 90 {
		m.level.v = 7
	}
	maps.DeleteFunc(m.pages, func(_ string, r remembered[int64]) bool { return m.now-r.at >= 100 })
	maps.DeleteFunc(m.seen, func(_ int64, r remembered[string]) bool { return m.now-r.at >= 70 })
	m.log = slices.DeleteFunc(m.log, func(r remembered[int64]) bool { return m.now-r.at >= 100 })
	m.texts = slices.DeleteFunc(m.texts, func(r remembered[string]) bool { return m.now-r.at >= 60 })
}

// State of every kind that expires is written, read, swept, snapshotted and restored at random while time passes, and compared with a model
// that knows when each piece was written. At the end nothing is left of it but what does not expire.
func TestTTL(t *testing.T) {
	p := new(fading)
	o := newOperator(t, p, keyhash.String)
	rnd := rand.New(rand.NewPCG(3, 4))
	models := map[string]*fadingModel{}
	now := int64(-300)
	o.SetTime(now)
	write := func(key string) {
		m := models[key]
		x := rnd.Int64N(40) + 1
		text := fmt.Sprint("text ", x)
		switch rnd.IntN(12) {
		case 0:
			p.Count.Set(x)
			m.count = remembered[int64]{x, now}
		case 1:
			p.Name.Set(text)
			m.name = remembered[string]{text, now}
		case 2:
			p.Tags.Set([]string{text})
			m.tags = remembered[string]{text, now}
		case 3, 4:
			p.Pages.Put(text, x)
			m.pages[text] = remembered[int64]{x, now}
		case 5:
			p.Seen.Put(x, []string{text})
			m.seen[x] = remembered[string]{text, now}
		case 6, 7:
			p.Log.Append(x, x+1)
			m.log = append(m.log, remembered[int64]{x, now}, remembered[int64]{x + 1, now})
		case 8:
			p.Texts.Append(text)
			m.texts = append(m.texts, remembered[string]{text, now})
		case 9:
			p.Total.Add(x)
			m.total = remembered[int64]{m.total.v + x, now}
		case 10:
			p.Level.Set(int32(x))
			m.level = remembered[int32]{int32(x), now}
			p.Kept.Set(x)
			m.kept = x
		case 11:
			p.Pages.Delete(text)
			delete(m.pages, text)
			if x < 4 {
				p.Count.Clear()
				p.Log.Clear()
				m.count.v, m.log = 0, nil
			}
		}
	}
	read := func(key string) {
		m := models[key]
		got := fmt.Sprint(p.Count.Get(), p.Tags.Get(), p.Total.Get(), p.Level.Get(), p.Kept.Get(), p.Log.Len(), p.Pages.Len())
		tags := []string{}
		if m.tags.v != "" {
			tags = []string{m.tags.v}
		}
		want := fmt.Sprint(m.count.v, tags, m.total.v, m.level.v, m.kept, len(m.log), len(m.pages))
		if got != want {
			t.Fatalf("%s at %d: %s, want %s", key, now, got, want)
		}
		pages := map[string]int64{}
		for k, r := range m.pages {
			pages[k] = r.v
		}
		if got := maps.Collect(p.Pages.All()); !maps.Equal(got, pages) {
			t.Fatalf("%s at %d: pages %v, want %v", key, now, got, pages)
		}
		var log []int64
		for _, r := range m.log {
			log = append(log, r.v)
		}
		if got := slices.Collect(p.Log.All()); !slices.Equal(got, log) {
			t.Fatalf("%s at %d: log %v, want %v", key, now, got, log)
		}
	}
	refresh := func(key string) { // of what reads keep alive
		m := models[key]
		if got := p.Name.Get(); got != m.name.v {
			t.Fatalf("%s at %d: name %q, want %q", key, now, got, m.name.v)
		}
		m.name.at = now
		for x := range int64(42) {
			got, ok := p.Seen.Get(x)
			r, want := m.seen[x]
			if ok != want || ok && got[0] != r.v {
				t.Fatalf("%s at %d: seen %d is %v %v, want %v", key, now, x, got, ok, r)
			}
			if ok {
				m.seen[x] = remembered[string]{r.v, now}
			}
		}
		i := 0
		for text := range p.Texts.All() {
			if text != m.texts[i].v {
				t.Fatalf("%s at %d: text %d is %q, want %q", key, now, i, text, m.texts[i].v)
			}
			m.texts[i].at = now
			i++
		}
		if i != len(m.texts) {
			t.Fatalf("%s at %d: %d texts, want %d", key, now, i, len(m.texts))
		}
	}
	for range 6000 {
		key := fmt.Sprint("key ", rnd.IntN(20))
		if models[key] == nil {
			models[key] = &fadingModel{pages: map[string]remembered[int64]{}, seen: map[int64]remembered[string]{}, level: remembered[int32]{v: 7}}
		}
		now += rnd.Int64N(6)
		o.SetTime(now)
		models[key].now = now
		models[key].alive()
		o.on(func(string) {
			switch rnd.IntN(4) {
			case 0:
				read(key)
			case 1:
				refresh(key)
			}
			write(key)
		}, key)
		switch rnd.IntN(40) {
		case 0:
			p = new(fading)
			o = o.copied(t, p, now)
		case 1, 2, 3:
			o.Sweep(rnd.IntN(1000))
		}
	}
	keys := 0
	for _, m := range models {
		if m.kept != 0 {
			keys++
		}
	}
	o.SetTime(now + 1000)
	if got := o.copied(t, new(fading), now+1000).Len(); got != keys {
		t.Errorf("%d keys are in a snapshot when all has expired, want %d", got, keys)
	}
	for range 200 {
		o.Sweep(10_000)
	}
	if o.Len() != keys {
		t.Errorf("%d keys are left when all has expired, want %d", o.Len(), keys)
	}
}

// What has expired is returned once more by a state that says so, unless it was swept; a value and an entry are gone then, elements stay.
func TestTTLReturnExpired(t *testing.T) {
	if pebbles != nil {
		t.Skip("what has expired is gone when its row is written back, which here is at once")
	}
	var p struct {
		Count state.Value[int64]       `state:"count,ttl=1s,expired=return"`
		Pages state.Map[string, int64] `state:"pages,ttl=1s,expired=return"`
		Log   state.List[int64]        `state:"log,ttl=1s,expired=return"`
	}
	o := newOperator(t, &p, keyhash.String)
	look := func(want string) {
		t.Helper()
		o.on(func(string) {
			page, ok := p.Pages.Get("home")
			if got := fmt.Sprint(p.Count.Get(), page, ok, slices.Collect(p.Log.All())); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}, "ann")
	}
	set := func() {
		o.on(func(string) { p.Count.Set(1); p.Pages.Put("home", 2); p.Log.Append(3) }, "ann")
	}
	o.SetTime(0)
	set()
	o.SetTime(1000)
	look("1 2 true [3]")
	look("0 0 false [3]")
	set()
	o.SetTime(5000)
	o.Sweep(10_000)
	look("0 0 false []")
}

// Event time decides for a state that says so: the time of the record that wrote, and the watermark that passes it.
func TestTTLInEventTime(t *testing.T) {
	var p struct {
		Count state.Value[int64] `state:"count,ttl=10s,clock=event"`
	}
	o := newOperator(t, &p, keyhash.String)
	record := int64(50_000)
	is := func(want int64) {
		t.Helper()
		o.on(func(string) {
			if got := p.Count.Get(); got != want {
				t.Errorf("%d, want %d", got, want)
			}
		}, "ann")
	}
	o.SetTime(1 << 50) // makes no difference
	o.SetEventTime(-1<<63, &record)
	o.on(func(string) { p.Count.Set(1) }, "ann")
	is(1)
	o.SetEventTime(59_999, &record)
	is(1)
	o.SetEventTime(60_000, &record)
	is(0)
	record = 20_000 // late: it counts as written when the watermark stands
	o.on(func(string) { p.Count.Set(2) }, "ann")
	o.SetEventTime(69_999, &record)
	is(2)
	o.SetEventTime(70_000, &record)
	is(0)
	if pebbles != nil {
		return // what is in the store without a date gets one when it is read
	}
	// Nobody knows the time of what a record without time writes before the first watermark. It lives from that on.
	var q struct {
		Count state.Value[int64] `state:"count,ttl=10s,clock=event"`
	}
	other := newOperator(t, &q, keyhash.String)
	noTime := int64(-1 << 63)
	other.SetEventTime(noTime, &noTime)
	other.on(func(string) { q.Count.Set(1) }, "ann")
	other.SetEventTime(100_000, &noTime)
	other.Sweep(10_000)
	for _, step := range []struct {
		at   int64
		keys int
	}{{109_999, 1}, {110_000, 1}, {112_500, 0}} { // a round begins when a quarter of the TTL has passed since the last
		other.SetEventTime(step.at, &noTime)
		other.Sweep(10_000)
		if other.Len() != step.keys {
			t.Errorf("%d keys at %d, want %d", other.Len(), step.at, step.keys)
		}
	}
}

// Between a snapshot and a restore a state may be given a TTL, lose it, or have another. What was written without a stamp is as if written
// at the restore.
func TestTTLChangesBetweenRestores(t *testing.T) {
	type plain struct {
		Count state.Value[int64]       `state:"count,default=3"`
		Pages state.Map[string, int64] `state:"pages"`
		Log   state.List[string]       `state:"log"`
		Tags  state.Value[[]int]       `state:"tags"`
	}
	type hour struct {
		Count state.Value[int64]       `state:"count,ttl=1h,default=3"`
		Pages state.Map[string, int64] `state:"pages,ttl=1h"`
		Log   state.List[string]       `state:"log,ttl=1h"`
		Tags  state.Value[[]int]       `state:"tags,ttl=1h"`
	}
	type minute struct {
		Count state.Value[int64]       `state:"count,ttl=1m,default=3"`
		Pages state.Map[string, int64] `state:"pages,ttl=1m"`
		Log   state.List[string]       `state:"log,ttl=1m"`
		Tags  state.Value[[]int]       `state:"tags,ttl=1m,clock=event"`
	}
	const minutes = int64(time.Minute / time.Millisecond)
	var a plain
	o := newOperator(t, &a, keyhash.String)
	o.on(func(string) { a.Count.Set(1); a.Pages.Put("home", 2); a.Log.Append("x"); a.Tags.Set([]int{4}) }, "ann")
	o.on(func(string) { a.Tags.Set([]int{5}) }, "bob")

	var b hour // now it has a TTL, from the restore on
	o = o.copied(t, &b, 0)
	o.SetTime(59 * minutes)
	o.on(func(string) {
		if got := fmt.Sprint(b.Count.Get(), b.Pages.Len(), b.Log.Len(), b.Tags.Get()); got != "1 1 1 [4]" {
			t.Errorf("a minute before the end: %s", got)
		}
	}, "ann")
	o.on(func(string) { b.Log.Append("y") }, "ann")

	var c minute // a shorter one, and another clock for the tags
	shorter := o.copied(t, &c, 59*minutes)
	shorter.on(func(string) {
		if got := fmt.Sprint(c.Count.Get(), c.Pages.Len(), slices.Collect(c.Log.All()), c.Tags.Get()); got != "3 0 [y] [4]" {
			t.Errorf("with a shorter TTL: %s", got)
		}
	}, "ann")

	o.SetTime(60 * minutes)
	var d plain // none any more
	none := o.copied(t, &d, 60*minutes)
	none.on(func(key string) {
		if pebbles != nil {
			return // a row of which something is left is in a snapshot as it was written last
		}
		if got := fmt.Sprint(d.Count.Get(), d.Pages.Len(), slices.Collect(d.Log.All()), d.Tags.Get()); got != "3 0 [y] []" {
			t.Errorf("without a TTL: %s", got)
		}
	}, "ann")
	if none.Len() != 1 {
		t.Errorf("%d keys, want 1: all that bob had was over when the snapshot was taken", none.Len())
	}
}

// A TTL that is given in code takes the place of the tag's, and nonsense is refused with words for it.
func TestTTLDeclared(t *testing.T) {
	var p struct {
		Count state.Value[int64] `state:"count,ttl=1h"`
	}
	p.Count.Expire(state.TTL{After: time.Second})
	o := newOperator(t, &p, keyhash.String)
	o.SetTime(0)
	o.on(func(string) { p.Count.Set(1) }, "ann")
	o.SetTime(1000)
	o.on(func(string) {
		if p.Count.Get() != 0 {
			t.Error("the TTL of the tag is in force")
		}
	}, "ann")
	for want, q := range map[string]any{
		"want ttl=<duration>": &struct {
			X state.Value[int] `state:"x,refresh=read"`
		}{},
		"option ttl": &struct {
			X state.Value[int] `state:"x,ttl=soon"`
		}{},
		`unknown option "fresh"`: &struct {
			X state.Value[int] `state:"x,fresh"`
		}{},
		"a map begins empty": &struct {
			X state.Map[int, int] `state:"x,default=1"`
		}{},
		`default "many"`: &struct {
			X state.Value[int] `state:"x,default=many"`
		}{},
		"give struct { A int } a method": &struct {
			X state.Value[struct{ A int }] `state:"x,default=1"`
		}{},
	} {
		if err := bindError(t, q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
