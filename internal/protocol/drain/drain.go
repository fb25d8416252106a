// Package drain decides when a loop has come to its end: nothing enters it any more, and nothing goes round in it.
//
// A loop has a head in each subtask. When the outside inputs of all heads have ended, heads send probes: markers that go round behind the
// records before them and wait, in each task, for those of the other inputs. A head reports how many records came round between its probe's
// departure and its return.
//
//   - A round in which no head has seen a record proves that the loop is empty. For suppose that a record came round after such a round.
//     What it was made from went through a head after that head's probe, and so came round after that probe's return, before; and so on
//     without end. But what has begun has a first record.
//   - Then event time ends, which may make steps of the loop emit what they held back; so it is drained once more.
//   - Then the data ends. What a step emits in Finish cannot go round any more.
//
// Rounds grow by one and are the same for all heads. A Drain does not know how probes travel; it is used by one goroutine at a time.
package drain

import "fmt"

// Kind is the kind of an Action.
type Kind uint8

const (
	Probe   Kind = iota + 1 // every head sends a probe of Round
	EndTime                 // every head lets event time come to its end, and then sends a probe of Round
	End                     // every head lets the data end
)

// Action is something that every head must do.
type Action struct {
	Kind  Kind
	Round uint32 // from 1; 0 for End
}

// Drain follows one loop to its end. Make one with New.
type Drain struct {
	heads   []head
	open    int // heads some of whose outside inputs have not ended
	away    int // probes of this round that have not returned
	round   uint32
	records int64 // that came round in this round
	timeEnd bool  // event time has ended
	actions []Action
}

type head struct {
	ended    bool
	returned uint32 // the latest round
}

// New returns the drain of a loop with the given number of heads, whose inputs are open.
func New(heads int) *Drain { return &Drain{heads: make([]head, heads), open: heads} }

// Ended reports that the outside inputs of a head have ended.
func (d *Drain) Ended(head int) {
	if d.heads[head].ended {
		panic(fmt.Sprintf("drain: the inputs of head %d have ended twice", head))
	}
	d.heads[head].ended = true
	if d.open--; d.open == 0 {
		d.next(Probe)
	}
}

// Returned reports that the probe of a round has come back to a head, and how many records did so while it was away.
func (d *Drain) Returned(head int, round uint32, records int64) {
	if round != d.round || d.heads[head].returned >= round {
		panic(fmt.Sprintf("drain: a probe of round %d returned to head %d in round %d", round, head, d.round))
	}
	d.heads[head].returned = round
	d.records += records
	if d.away--; d.away > 0 {
		return
	}
	switch {
	case d.records > 0:
		d.next(Probe)
	case !d.timeEnd:
		d.timeEnd = true
		d.next(EndTime)
	default:
		d.actions = append(d.actions, Action{Kind: End})
	}
}

// next begins a round.
func (d *Drain) next(k Kind) {
	d.round++
	d.away, d.records = len(d.heads), 0
	d.actions = append(d.actions, Action{k, d.round})
}

// Actions returns what is to be done since the last call, in order.
func (d *Drain) Actions() []Action {
	actions := d.actions
	d.actions = nil
	return actions
}
