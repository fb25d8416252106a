// Package state holds the state of processors: what a program remembers from one record to the next.
//
// State is declared as fields of a processor's struct. On a keyed stream each key has its own: the runtime points all fields at the key of the
// present record before it calls On or OnTimer. On a plain stream, a [List] belongs to the subtask; so do a [UnionList] and a [Broadcast] on
// any stream.
//
//	type Sessions struct {
//		Clicks state.Value[int]                         `state:"clicks"`
//		Total  state.Reducing[int64, state.Sum[int64]]  `state:"total"`
//		Level  state.Value[float64]                     `state:"level,default=0.5"`
//		Pages  state.Map[string, int]                   `state:"pages,ttl=24h,refresh=read"`
//		Idle   state.Timer                              `timer:"idle,event"`
//		Due    state.Timers                             `timer:"due,processing"`
//	}
//
// The tag names the state in checkpoints; without one it is the field's name in lower case. A state that was renamed is another state, unless
// its tag has the former name: `state:"visits,formerly=clicks"`. After the name there may be a [TTL] and, at the end, the default of a [Value].
//
//   - All state is part of every checkpoint and is restored from it, at any parallelism.
//   - A state that holds what it began with, its zero value or its default, is as good as none. A key whose states were all cleared, have
//     expired, or were never set, is forgotten.
//   - Types may change between versions of a program: see docs/evolution.md, and [Migrate] for what does not go by itself.
//   - Handles are used by the processor they are fields of and must not be copied or kept by others: those of keyed state within On and
//     OnTimer, where else they panic; those of a subtask's state in all its methods.
package state
