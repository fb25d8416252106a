package sim

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Decisions is what chance has decided in one run. Those of a run that failed are kept, since after any change of the program its seed
// means another run.
type Decisions struct {
	Seed uint64
	// Order holds who was next, and other choices that do no harm: each a number below what there was to choose from. What is not in
	// the list is drawn from the seed.
	Order []int
	// Troubles is what goes wrong, in order.
	Troubles []Trouble
	// Asks is what the user asks a running job for, counted in turns.
	Asks []Trouble
	// Doubts are checkpoints whose metadata are put without anybody knowing whether they were, counted in such puts.
	Doubts []Trouble
	// Log is how the job logs the changes of its state, one of the ways that World.Changelog knows; 0: not at all.
	Log int
	// Recorded says that there is no more of these than in the lists. Otherwise it is drawn from the seed, as Config says.
	Recorded bool
}

// Trouble is something that goes wrong, or that somebody does.
type Trouble struct {
	At   int // after so many occasions
	What int // which of the things that can go wrong at that occasion, and how
}

// kinds returns the lists of what happens, by the word that stands for each in a file.
func (d *Decisions) kinds() map[string]*[]Trouble {
	return map[string]*[]Trouble{"trouble": &d.Troubles, "ask": &d.Asks, "doubt": &d.Doubts}
}

// Without returns the decisions without the i-th thing that happens, of Events.
func (d Decisions) Without(i int) Decisions {
	for _, kind := range []*[]Trouble{&d.Troubles, &d.Asks, &d.Doubts} {
		if i < len(*kind) {
			*kind = slices.Delete(slices.Clone(*kind), i, i+1)
			return d
		}
		i -= len(*kind)
	}
	return d
}

// Events returns how many things happen.
func (d Decisions) Events() int { return len(d.Troubles) + len(d.Asks) + len(d.Doubts) }

// Write writes decisions as text, which ReadDecisions reads. Repeated numbers of the order are written once, with a count.
func (d Decisions) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "seed %d\n", d.Seed)
	if d.Log > 0 {
		fmt.Fprintf(b, "log %d\n", d.Log)
	}
	for _, kind := range []string{"trouble", "ask", "doubt"} {
		for _, t := range *d.kinds()[kind] {
			fmt.Fprintf(b, "%s %d %d\n", kind, t.At, t.What)
		}
	}
	line := "order"
	for i := 0; i < len(d.Order); {
		n := 1
		for i+n < len(d.Order) && d.Order[i+n] == d.Order[i] {
			n++
		}
		next := " " + strconv.Itoa(d.Order[i])
		if n > 1 {
			next += "*" + strconv.Itoa(n)
		}
		if len(line)+len(next) > 130 {
			fmt.Fprintln(b, line)
			line = "order"
		}
		line += next
		i += n
	}
	fmt.Fprintln(b, line)
	return b.Flush()
}

// ReadDecisions reads what Write has written. Empty lines and those that begin with # are skipped.
func ReadDecisions(r io.Reader) (Decisions, error) {
	d := Decisions{Recorded: true}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if err := d.add(fields[0], fields[1:]); err != nil {
			return d, fmt.Errorf("decisions, line %d: %w", n, err)
		}
	}
	return d, lines.Err()
}

func (d *Decisions) add(what string, args []string) (err error) {
	switch {
	case what == "seed" && len(args) == 1:
		d.Seed, err = strconv.ParseUint(args[0], 10, 64)
	case what == "log" && len(args) == 1:
		var way uint64
		way, err = strconv.ParseUint(args[0], 10, 31)
		d.Log = int(way)
	case d.kinds()[what] != nil && len(args) == 2:
		var t Trouble
		_, err = fmt.Sscan(strings.Join(args, " "), &t.At, &t.What)
		kind := d.kinds()[what]
		*kind = append(*kind, t)
	case what == "order":
		for _, a := range args {
			number, times, repeated := strings.Cut(a, "*")
			v, err := strconv.ParseUint(number, 10, 31)
			n := uint64(1)
			if err == nil && repeated {
				n, err = strconv.ParseUint(times, 10, 20)
			}
			if err != nil {
				return err
			}
			for range n {
				d.Order = append(d.Order, int(v))
			}
		}
	default:
		return fmt.Errorf("%q with %d arguments is no decision", what, len(args))
	}
	return err
}

// chance makes decisions, or repeats those that were made, and writes them down.
type chance struct {
	given  Decisions
	made   Decisions
	order  *rand.Rand
	misery events // apart from order, and from each other, so that one more or less changes nothing before it
	asks   events
	doubts events
}

// events are things that happen after so many occasions.
type events struct {
	given     []Trouble
	recorded  bool
	made      *[]Trouble
	rng       *rand.Rand
	scale     int // how many occasions lie between two, roughly
	left      int // how many may still come, if they are drawn
	occasions int
	next      Trouble // At is 0 if none will come
}

// What of a seed is for what.
const (
	forOrder = 1 + iota
	forMisery
	forTorn
	forAsks
	forDoubts
	forLog
)

func newChance(c Config) *chance {
	given := c.Decisions
	rng := func(what uint64) *rand.Rand { return rand.New(rand.NewPCG(given.Seed, what)) }
	made := &chance{given: given, made: Decisions{Seed: given.Seed, Recorded: true}, order: rng(forOrder)}
	begin := func(given Decisions, list []Trouble, made *[]Trouble, what uint64, n int, scales ...int) events {
		e := events{given: list, recorded: given.Recorded, made: made, rng: rng(what), left: n}
		e.scale = scales[e.rng.IntN(len(scales))]
		e.brew()
		return e
	}
	made.made.Log = given.Log
	if c.Changelog && !given.Recorded && given.Log == 0 {
		drawn := rng(forLog)
		made.made.Log = drawn.IntN(2) * (1 + drawn.IntN(WaysToLog))
	}
	made.misery = begin(given, given.Troubles, &made.made.Troubles, forMisery, c.Troubles, 150, 800, 4000)
	made.asks = begin(given, given.Asks, &made.made.Asks, forAsks, c.Asks, 200, 1000, 3000)
	made.doubts = begin(given, given.Doubts, &made.made.Doubts, forDoubts, c.Doubts, 4, 20)
	return made
}

// pick returns a number below n.
func (c *chance) pick(n int) (v int) {
	if i := len(c.made.Order); i < len(c.given.Order) {
		v = c.given.Order[i] % n
	} else {
		v = c.order.IntN(n)
	}
	c.made.Order = append(c.made.Order, v)
	return v
}

// brew says what happens next.
func (e *events) brew() {
	e.next = Trouble{}
	if e.recorded {
		if i := len(*e.made); i < len(e.given) {
			e.next = e.given[i]
		}
		return
	}
	if e.left > 0 {
		e.left--
		e.next = Trouble{At: e.occasions + 1 + e.rng.IntN(e.scale), What: e.rng.IntN(1 << 16)}
	}
}

// happens reports whether one happens on an occasion that weighs so much, and which of n things it is. detail says how.
func (e *events) happens(weight, n int) (what, detail int, ok bool) {
	e.occasions += weight
	if e.next.At == 0 || e.occasions < e.next.At {
		return 0, 0, false
	}
	t := e.next
	*e.made = append(*e.made, t)
	e.brew()
	return t.What % n, t.What / n, true
}

// trouble reports whether something goes wrong.
func (c *chance) trouble(weight, n int) (what, detail int, ok bool) {
	return c.misery.happens(weight, n)
}

// happened returns how many things have happened.
func (c *chance) happened() int { return c.made.Events() }
