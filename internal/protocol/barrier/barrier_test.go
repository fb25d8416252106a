package barrier

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/script"
)

// TestScripts plays testdata: what comes out of the channels of one task, and what the task must do. Each command is followed by its
// actions. The clock moves only by "wait".
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func() script.Player { return (&player{now: epoch}).play })
}

var epoch = time.UnixMilli(0)

type player struct {
	h      *Handler
	ledger Ledger
	now    time.Time
}

func (p *player) play(t *testing.T, words []string) []string {
	arg := func(i int) int { return number(t, words[i]) }
	id := func(i int) job.CheckpointID { return job.CheckpointID(arg(i)) }
	b := func(i int) Barrier { return Barrier{ID: id(i), Timestamp: p.now} }
	switch words[0] {
	case "exactly-once":
		p.h = New(ExactlyOnce, arg(1))
	case "at-least-once":
		p.h = New(AtLeastOnce, arg(1))
	case "wait":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			t.Fatal(err)
		}
		p.now = p.now.Add(d)
	case "barrier":
		p.h.Barrier(arg(1), b(2), p.now)
	case "barriers": // of all ids in a range
		for i := arg(2); i <= arg(3); i++ {
			p.h.Barrier(arg(1), Barrier{ID: job.CheckpointID(i), Timestamp: p.now}, p.now)
		}
	case "trigger":
		p.h.Trigger(b(1), p.now)
	case "cancel":
		p.h.Cancel(arg(1), id(2))
	case "end":
		p.h.EndOfPartition(arg(1), p.now)
	case "abort":
		p.h.Abort(id(1), reason.CheckpointExpired)
	case "ledger":
		return p.playLedger(t, words[1], id(2))
	default:
		t.Fatalf("unknown command %q", words)
	}
	if p.h == nil {
		return nil
	}
	return describe(p.h.Actions())
}

func (p *player) playLedger(t *testing.T, command string, id job.CheckpointID) []string {
	switch command {
	case "begin":
		return []string{map[Verdict]string{Take: "take", Stale: "stale", GivenUp: "given up"}[p.ledger.Begin(id)]}
	case "abort":
		return []string{map[bool]string{true: "ahead", false: "handled"}[p.ledger.Abort(id)]}
	case "aborts": // all ids from the next one not handled up to this
		for i := p.ledger.Last() + 1; i <= id; i++ {
			p.ledger.Abort(i)
		}
	case "handled":
		p.ledger.Handled(id)
	default:
		t.Fatalf("unknown ledger command %q", command)
	}
	return nil
}

func number(t *testing.T, word string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(word, "#"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func describe(actions []Action) (lines []string) {
	for _, a := range actions {
		switch a.Kind {
		case Block:
			lines = append(lines, fmt.Sprintf("block %d", a.Channel))
		case Unblock:
			lines = append(lines, fmt.Sprintf("unblock %d", a.Channel))
		case Snapshot:
			lines = append(lines, fmt.Sprintf("snapshot #%d delay %v alignment %v", a.Barrier.ID, a.Alignment.StartDelay(a.Barrier), a.Alignment.Duration()))
		case Aborted:
			lines = append(lines, fmt.Sprintf("aborted #%d %s", a.Barrier.ID, a.Reason))
		}
	}
	return lines
}

// TestRandomInputs feeds handlers random barriers, markers, ends, triggers and aborts, and checks the promises of the package comment.
func TestRandomInputs(t *testing.T) {
	for seed := range uint64(2000) {
		mode := Mode(seed % 2)
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { randomInputs(t, mode, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func randomInputs(t *testing.T, mode Mode, rnd *rand.Rand) {
	channels := 1 + rnd.IntN(4)
	h := New(mode, channels)
	sent := make([]job.CheckpointID, channels) // the last barrier of each channel; ids grow within a channel
	blocked := make([]bool, channels)
	ended := make([]bool, channels)
	decided := map[job.CheckpointID]bool{}
	var lastSnapshot job.CheckpointID

	check := func(event string) {
		for _, a := range h.Actions() {
			switch a.Kind {
			case Block, Unblock:
				if mode == AtLeastOnce {
					t.Fatalf("%s: %v at least once", event, a)
				}
				if block := a.Kind == Block; blocked[a.Channel] == block {
					t.Fatalf("%s: channel %d: block %v twice", event, a.Channel, block)
				}
				blocked[a.Channel] = !blocked[a.Channel]
			case Snapshot, Aborted:
				if decided[a.Barrier.ID] {
					t.Fatalf("%s: checkpoint %d decided twice", event, a.Barrier.ID)
				}
				decided[a.Barrier.ID] = true
				if a.Kind == Snapshot {
					if a.Barrier.ID <= lastSnapshot {
						t.Fatalf("%s: snapshot %d after %d", event, a.Barrier.ID, lastSnapshot)
					}
					lastSnapshot = a.Barrier.ID
				}
			}
		}
	}
	for range 200 {
		ch := rnd.IntN(channels)
		id := sent[ch] + 1 + job.CheckpointID(rnd.IntN(2))
		free := !blocked[ch] && !ended[ch]
		switch n := rnd.IntN(100); {
		case n < 70 && free:
			sent[ch] = id
			h.Barrier(ch, Barrier{ID: id}, epoch)
			check(fmt.Sprintf("barrier %d #%d", ch, id))
		case n < 80 && free:
			sent[ch] = id
			h.Cancel(ch, id)
			check(fmt.Sprintf("cancel %d #%d", ch, id))
		case n < 90:
			h.Abort(id-1, reason.CheckpointExpired)
			check(fmt.Sprintf("abort #%d", id-1))
		case n < 91 && free:
			ended[ch] = true
			h.EndOfPartition(ch, epoch)
			check(fmt.Sprintf("end %d", ch))
		case n < 93:
			h.Trigger(Barrier{ID: id}, epoch)
			check(fmt.Sprintf("trigger #%d", id))
		}
	}
	releaseAll(t, h, sent, ended, blocked, check)
}

// releaseAll sends every channel the next barrier and checks that none stays blocked, so that no task can hang.
func releaseAll(t *testing.T, h *Handler, sent []job.CheckpointID, ended, blocked []bool, check func(string)) {
	next := job.CheckpointID(0)
	for _, id := range sent {
		next = max(next, id)
	}
	next += 10
	for range 2 { // a channel that was blocked by an older checkpoint delivers in the second round
		for ch := range sent {
			if !blocked[ch] && !ended[ch] && sent[ch] < next {
				sent[ch] = next
				h.Barrier(ch, Barrier{ID: next}, epoch)
				check("last barrier")
			}
		}
	}
	for ch, b := range blocked {
		if b {
			t.Fatalf("channel %d stays blocked", ch)
		}
	}
}

// TestNoAllocation shows that a handler that has warmed up allocates nothing per barrier.
func TestNoAllocation(t *testing.T) {
	for _, mode := range []Mode{ExactlyOnce, AtLeastOnce} {
		h := New(mode, 3)
		id := job.CheckpointID(0)
		allocs := testing.AllocsPerRun(100, func() {
			id++
			for ch := range 3 {
				h.Barrier(ch, Barrier{ID: id}, epoch)
				h.Actions()
			}
		})
		if allocs != 0 {
			t.Errorf("mode %d: %v allocations per checkpoint", mode, allocs)
		}
	}
}
