package state

import "github.com/weirstream/weir/internal/backend/heap"

// TTL says how long keyed state lives: a [Value], a [Reducing] or an [Aggregating] as a whole, each entry of a [Map] and each element of a
// [List] by itself. It is a part of the tag:
//
//	Clicks state.Value[int]       `state:"clicks,ttl=24h"`
//	Pages  state.Map[string, int] `state:"pages,ttl=1h,refresh=read,expired=return,clock=event"`
//
// with refresh=write, expired=hide and clock=processing where nothing is said. A duration that is known only when the program runs is given by
// the handle's method Expire, to the processor that is the template, before the job is built.
//
// What has expired reads as if it had been cleared. It is removed when it is read, by and by as records come (twice as many rows are looked at
// as records come in, and no row more than some four times in a TTL), and it is left out of every checkpoint. Until then it takes memory. It does not
// call anybody: for that there are timers.
//
// Checkpoints hold when each entry was written last. So the TTL of a state may be changed, taken away and given to a state that had none
// between a checkpoint and a restore; an entry of which it is not known when it was written is as if written at the restore.
type TTL = heap.TTL
