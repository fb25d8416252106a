// Package state holds the state of processors: what a program remembers from one record to the next.
//
// State is declared as fields of a processor's struct. On a keyed stream each key has its own: the runtime points all fields at the key of the
// present record before it calls On or OnTimer. On a plain stream, a [List] belongs to the subtask; so do a [UnionList] and a [Broadcast] on
// any stream.
//
//	type Sessions struct {
//		Clicks state.Value[int]       `state:"clicks"`
//		Pages  state.Map[string, int] `state:"pages"`
//		Idle   state.Timer            `timer:"idle,event"`
//	}
//
// The tag names the state in checkpoints; without one it is the field's name in lower case. A state that was renamed is another state, unless
// its tag has the former name: `state:"visits,formerly=clicks"`.
//
//   - All state is part of every checkpoint and is restored from it, at any parallelism.
//   - A state that holds its zero value is as good as none. A key whose states were all cleared, or never set, is forgotten.
//   - Types may change between versions of a program: see docs/evolution.md, and [Migrate] for what does not go by itself.
//   - Handles are used by the processor they are fields of and must not be copied or kept by others: those of keyed state within On and
//     OnTimer, where else they panic; those of a subtask's state in all its methods.
package state
