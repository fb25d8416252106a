package sim

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
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
	// Recorded says that there is no more trouble than in the list. Otherwise it is drawn from the seed, as Config says.
	Recorded bool
}

// Trouble is something that goes wrong.
type Trouble struct {
	At   int // after so many occasions
	What int // which of the things that can go wrong at that occasion, and how
}

// WithoutTrouble returns the decisions without the i-th trouble.
func (d Decisions) WithoutTrouble(i int) Decisions {
	d.Troubles = append(append([]Trouble{}, d.Troubles[:i]...), d.Troubles[i+1:]...)
	return d
}

// Write writes decisions as text, which ReadDecisions reads. Repeated numbers of the order are written once, with a count.
func (d Decisions) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "seed %d\n", d.Seed)
	for _, t := range d.Troubles {
		fmt.Fprintf(b, "trouble %d %d\n", t.At, t.What)
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
	case what == "trouble" && len(args) == 2:
		var t Trouble
		_, err = fmt.Sscan(strings.Join(args, " "), &t.At, &t.What)
		d.Troubles = append(d.Troubles, t)
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
	given     Decisions
	made      Decisions
	order     *rand.Rand
	misery    *rand.Rand // apart from order, so that a trouble more or less changes nothing before it
	scale     int        // how many occasions lie between two troubles, roughly
	left      int        // troubles that may still come, if they are drawn
	occasions int
	next      Trouble // At is 0 if none will come
}

func newChance(given Decisions, troubles int) *chance {
	c := &chance{
		given:  given,
		made:   Decisions{Seed: given.Seed, Recorded: true},
		order:  rand.New(rand.NewPCG(given.Seed, 1)),
		misery: rand.New(rand.NewPCG(given.Seed, 2)),
		left:   troubles,
	}
	c.scale = []int{150, 800, 4000}[c.misery.IntN(3)]
	c.brew()
	return c
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

// brew says what goes wrong next.
func (c *chance) brew() {
	c.next = Trouble{}
	if c.given.Recorded {
		if i := len(c.made.Troubles); i < len(c.given.Troubles) {
			c.next = c.given.Troubles[i]
		}
		return
	}
	if c.left > 0 {
		c.left--
		c.next = Trouble{At: c.occasions + 1 + c.misery.IntN(c.scale), What: c.misery.IntN(1 << 16)}
	}
}

// trouble reports whether something goes wrong on an occasion that weighs so much, and which of n things it is. detail says how.
func (c *chance) trouble(weight, n int) (what, detail int, ok bool) {
	c.occasions += weight
	if c.next.At == 0 || c.occasions < c.next.At {
		return 0, 0, false
	}
	t := c.next
	c.made.Troubles = append(c.made.Troubles, t)
	c.brew()
	return t.What % n, t.What / n, true
}
