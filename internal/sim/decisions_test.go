package sim

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestDecisionsAsText shows that decisions can be written down and read again.
func TestDecisionsAsText(t *testing.T) {
	tests := []struct {
		text string
		d    Decisions
	}{
		{"seed 0\norder\n", Decisions{Recorded: true}},
		{"seed 7\ntrouble 12 3\ntrouble 40 65535\norder 1 0*3 5 1*2\n",
			Decisions{Seed: 7, Troubles: []Trouble{{12, 3}, {40, 65535}}, Order: []int{1, 0, 0, 0, 5, 1, 1}, Recorded: true}},
		{"seed 1\nlog 5\norder 2\n", Decisions{Seed: 1, Log: 5, Order: []int{2}, Recorded: true}},
		{"seed 1\ntrouble 2 3\nask 4 5\ndoubt 6 7\norder\n",
			Decisions{Seed: 1, Troubles: []Trouble{{2, 3}}, Asks: []Trouble{{4, 5}}, Doubts: []Trouble{{6, 7}}, Recorded: true}},
	}
	for _, test := range tests {
		var b bytes.Buffer
		if err := test.d.Write(&b); err != nil || b.String() != test.text {
			t.Errorf("written as %q, %v, want %q", b.String(), err, test.text)
		}
		got, err := ReadDecisions(strings.NewReader("# why\n\n" + test.text))
		if err != nil || !reflect.DeepEqual(got, test.d) {
			t.Errorf("%q is read as %+v, %v", test.text, got, err)
		}
	}
	long := Decisions{Order: make([]int, 5000), Recorded: true}
	for i := range long.Order {
		long.Order[i] = i * i % 997
	}
	var b bytes.Buffer
	if err := long.Write(&b); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadDecisions(&b); err != nil || !reflect.DeepEqual(got, long) {
		t.Errorf("a long order is read as another, %v", err)
	}
	for _, wrong := range []string{"seed", "seed x", "trouble 1", "trouble a b", "order -1", "order 1*x", "order 1*99999999", "log -1", "luck 7"} {
		if _, err := ReadDecisions(strings.NewReader("\n" + wrong)); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// FuzzDecisions shows that no text breaks the reader, and that what it accepts means the same when it is written again.
func FuzzDecisions(f *testing.F) {
	f.Add("seed 7\nlog 3\ntrouble 12 3\norder 1 0*3 5 1*2\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ReadDecisions(strings.NewReader(text))
		if err != nil || len(d.Order) > 1<<16 {
			return
		}
		var b bytes.Buffer
		if err := d.Write(&b); err != nil {
			t.Fatal(err)
		}
		if again, err := ReadDecisions(&b); err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%+v is read again as %+v, %v", d, again, err)
		}
	})
}

// TestRepeat shows that what chance has decided can be repeated, in full and from the middle on.
func TestRepeat(t *testing.T) {
	run := func(d Decisions) (made Decisions, seen []int) {
		c := newChance(Config{Decisions: d, Troubles: 3})
		for range 4000 {
			seen = append(seen, c.pick(7))
			if what, detail, ok := c.trouble(3, 5); ok {
				seen = append(seen, 100+what, detail)
			}
		}
		return c.made, seen
	}
	made, seen := run(Decisions{Seed: 5})
	if len(made.Troubles) == 0 {
		t.Fatal("there was no trouble")
	}
	again, same := run(made)
	if !reflect.DeepEqual(again, made) || !reflect.DeepEqual(same, seen) {
		t.Error("the same decisions give another run")
	}
	calm := made
	for len(calm.Troubles) > 0 {
		calm = calm.Without(0)
	}
	if got, _ := run(calm); len(got.Troubles) > 0 || !reflect.DeepEqual(got.Order, made.Order) {
		t.Error("troubles that were left out are there, or the order has changed with them")
	}
}

// TestShrink shows that a failure is told without what it does not need.
func TestShrink(t *testing.T) {
	needed := Trouble{At: 30, What: 4}
	play := func(d Decisions) Report {
		r := Report{Decisions: d}
		for _, trouble := range d.Troubles {
			if trouble == needed && len(d.Order) > 20 {
				r.Err = errors.New("it fails")
			}
		}
		return r
	}
	d := Decisions{Troubles: []Trouble{{10, 1}, needed, {40, 1}, {50, 2}}, Order: make([]int, 1000), Recorded: true}
	r := Shrink(play(d), play)
	if r.Err == nil || !reflect.DeepEqual(r.Decisions.Troubles, []Trouble{needed}) || len(r.Decisions.Order) > 60 {
		t.Errorf("left: %v, %d of the order, %v", r.Decisions.Troubles, len(r.Decisions.Order), r.Err)
	}
}

// TestTwice shows that a run that cannot be repeated has failed.
func TestTwice(t *testing.T) {
	n := uint64(0)
	if r := Twice(Decisions{}, func(Decisions) Report { n++; return Report{Trace: n} }); r.Err == nil {
		t.Error("two runs that differ pass")
	}
}

// TestInstant shows that the wall clock of a world can jump while durations stay what they are.
func TestInstant(t *testing.T) {
	if !twoReadings {
		t.Fatal("this version of Go lays out a time.Time in another way: the wall clock of worlds does not jump any more, see instant")
	}
	w := New(Config{})
	before := w.Now()
	w.elapsed += time.Second
	w.skew -= time.Hour
	if after := w.Now(); after.Sub(before) != time.Second || after.Unix() != before.Unix()+1-3600 {
		t.Errorf("from %v to %v: %v have passed", before, after, after.Sub(before))
	}
}
