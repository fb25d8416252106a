package keyed

import (
	"fmt"
	"math"
	"time"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/stateform"
)

// Kind says what a state holds of a key. The numbers are part of the format.
type Kind uint8

// The kinds of state.
const (
	KindValue Kind = 1
	KindMap   Kind = 2
	KindList  Kind = 3
	KindTimer Kind = 4
	// KindTimers is a set of deadlines for each key.
	KindTimers Kind = 5
)

var kindNames = [...]string{KindValue: "value", KindMap: "map", KindList: "list", KindTimer: "timer", KindTimers: "timers"}

// String returns the word for the kind.
func (k Kind) String() string {
	if k >= KindValue && k <= KindTimers {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Domain says which clock timers follow, or by which state expires. The numbers are part of the format.
type Domain uint8

// The time domains.
const (
	EventTime      Domain = 1
	ProcessingTime Domain = 2
)

// String returns the domain as it is written in a tag.
func (d Domain) String() string {
	if d == ProcessingTime {
		return "processing"
	}
	return "event"
}

// State describes one state of a stream.
type State struct {
	Name   string
	Kind   Kind
	Domain Domain        // of timers; else the clock by which the state expires, 0 if it does not
	Key    *codec.Schema // of a map, else nil
	Elem   *codec.Schema // of a value, a map's values or a list's elements, nil for a timer
	TTL    time.Duration // how long the state lives if it expires
}

// Expires reports whether the state expires.
func (c *State) Expires() bool {
	return c.Domain != 0 && c.Kind != KindTimer && c.Kind != KindTimers
}

// Form returns what the state looks like to a program that wants to go on with it: how long it lives is not a part of that.
func (c *State) Form() stateform.State {
	s := stateform.State{Name: c.Name, Kind: stateform.Kind(c.Kind.String()), Key: c.Key, Elem: c.Elem}
	if c.Kind == KindTimer || c.Kind == KindTimers {
		s.Clock = c.Domain.String()
	}
	return s
}

// When something was written, as it precedes what expires: in milliseconds since 1970 UTC, but for these two.
const (
	notThere = math.MinInt64     // a value that was never set
	notDated = math.MinInt64 + 1 // nobody knew the time
)

// endOf returns when what was written at a time is over, the largest int64 if that is not known.
func (c *State) endOf(written int64) int64 {
	if written == notThere || written == notDated {
		return math.MaxInt64
	}
	return written + min(c.TTL.Milliseconds(), math.MaxInt64-max(written, 0))
}
