package drain

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/weirstream/weir/internal/script"
)

// TestScripts plays testdata: what heads report, and what they are told to do.
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func() script.Player {
		var d *Drain
		return func(t *testing.T, words []string) []string {
			arg := func(i int) int {
				n, err := strconv.Atoi(words[i])
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			switch words[0] {
			case "heads":
				d = New(arg(1))
			case "ended":
				d.Ended(arg(1))
			case "returned":
				d.Returned(arg(1), uint32(arg(2)), int64(arg(3)))
			default:
				t.Fatalf("unknown command %q", words)
			}
			return describe(d.Actions())
		}
	})
}

func describe(actions []Action) (lines []string) {
	for _, a := range actions {
		switch a.Kind {
		case Probe:
			lines = append(lines, fmt.Sprintf("probe %d", a.Round))
		case EndTime:
			lines = append(lines, fmt.Sprintf("end time, probe %d", a.Round))
		case End:
			lines = append(lines, "end")
		}
	}
	return lines
}

// TestMisuse shows that a report which cannot be is a bug of the driver's, and no count.
func TestMisuse(t *testing.T) {
	for name, wrong := range map[string]func(d *Drain){
		"ended twice":        func(d *Drain) { d.Ended(0); d.Ended(0) },
		"returned unsent":    func(d *Drain) { d.Returned(0, 1, 0) },
		"returned twice":     func(d *Drain) { d.Ended(0); d.Ended(1); d.Returned(0, 1, 0); d.Returned(0, 1, 0) },
		"another round's":    func(d *Drain) { d.Ended(0); d.Ended(1); d.Returned(0, 2, 0) },
		"the round before's": func(d *Drain) { d.Ended(0); d.Ended(1); d.Returned(0, 1, 1); d.Returned(1, 1, 0); d.Returned(1, 1, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			wrong(New(2))
		})
	}
}

// TestNeverTooEarly shows that the end is not declared while a record goes round: heads, and a body that gives each record any number of
// laps and any next head, take steps in a random order, each channel in its own.
func TestNeverTooEarly(t *testing.T) {
	for seed := range uint64(2000) {
		m := &model{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 3))}
		m.run(1 + int(seed%4))
	}
}

// model is a loop whose body is one task for each head, to which every head sends.
type model struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	drain *Drain
	heads []*modelHead
	// forth holds what is between a head and a body task, back what is between a body task and its head.
	forth   [][][]item
	back    [][]item
	seen    [][]uint32 // by body task and head: the latest probe
	sent    []uint32   // by body task
	records int        // in the loop
	over    bool
}

type modelHead struct {
	input    int // records that are yet to enter
	ended    bool
	commands []Action
	count    int64
}

// item is a record with a number of laps to go, or a probe.
type item struct {
	laps  int
	probe uint32
}

func (m *model) run(heads int) {
	m.drain = New(heads)
	m.back, m.sent = make([][]item, heads), make([]uint32, heads)
	for range heads {
		m.heads = append(m.heads, &modelHead{input: m.rng.IntN(4)})
		m.forth = append(m.forth, make([][]item, heads))
		m.seen = append(m.seen, make([]uint32, heads))
	}
	for steps := 0; !m.over; steps++ {
		if steps > 1_000_000 {
			m.t.Fatalf("seed %d: no end", m.seed)
		}
		i := m.rng.IntN(heads)
		switch m.rng.IntN(4) {
		case 0:
			m.enter(i)
		case 1:
			m.command(i)
		case 2:
			m.body(i, m.rng.IntN(heads))
		case 3:
			m.again(i)
		}
		for _, a := range m.drain.Actions() {
			if a.Kind == End {
				m.over = true
				if m.records > 0 {
					m.t.Fatalf("seed %d: the end with %d records in the loop", m.seed, m.records)
				}
			}
			for _, h := range m.heads {
				h.commands = append(h.commands, a)
			}
		}
	}
}

func (m *model) emit(from int, laps int) {
	to := m.rng.IntN(len(m.heads))
	m.forth[from][to] = append(m.forth[from][to], item{laps: laps})
}

func (m *model) enter(i int) {
	h := m.heads[i]
	switch {
	case h.input > 0:
		h.input--
		m.records++
		m.emit(i, m.rng.IntN(5))
	case !h.ended:
		h.ended = true
		m.drain.Ended(i)
	}
}

func (m *model) command(i int) {
	h := m.heads[i]
	if len(h.commands) == 0 {
		return
	}
	a := h.commands[0]
	h.commands, h.count = h.commands[1:], 0
	for to := range m.heads {
		m.forth[i][to] = append(m.forth[i][to], item{probe: a.Round})
	}
}

func (m *model) body(i, from int) {
	q := m.forth[from][i]
	if len(q) == 0 {
		return
	}
	m.forth[from][i] = q[1:]
	switch it := q[0]; {
	case it.probe > 0:
		m.seen[i][from] = it.probe
		lowest := it.probe
		for _, s := range m.seen[i] {
			lowest = min(lowest, s)
		}
		if lowest > m.sent[i] {
			m.sent[i] = lowest
			m.back[i] = append(m.back[i], item{probe: lowest})
		}
	case it.laps == 0:
		m.records--
	default:
		m.back[i] = append(m.back[i], item{laps: it.laps - 1})
	}
}

func (m *model) again(i int) {
	if len(m.back[i]) == 0 {
		return
	}
	it := m.back[i][0]
	m.back[i] = m.back[i][1:]
	if it.probe > 0 {
		m.drain.Returned(i, it.probe, m.heads[i].count)
		return
	}
	m.heads[i].count++
	m.emit(i, it.laps)
}
