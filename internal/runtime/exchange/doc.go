// Package exchange moves batches and events from the subtasks of one task to the subtasks of the next.
//
// A Gate is the input of one subtask: one Channel for each upstream subtask of each of its edges. A Channel is a bounded queue that can
// be looked into; it belongs to the gate's lock. An Output is the sending side: it sorts records into a batch for each channel.
//
//   - Send never blocks and never fails. A producer asks Ready before it makes more, and so overshoots a channel's bound by what one
//     step emits at most.
//   - Order within a channel is kept. A blocked channel keeps what it holds and goes on accepting.
//   - Batches are handed over, not copied: the consumer owns what Poll returned until it gives it back with Recycle, which is how the
//     producer gets its batches again. In the steady state nothing is allocated.
//   - Whoever makes something available wakes the one who waits for it; nobody waits inside this package.
//
// A record is sent when its batch is full, when an event follows, when the consumer has nothing to do, or before the producer parks.
// There is no timeout to tune: batches are small when it is quiet and large when it is busy.
//
// A Feedback is the edge that closes a loop. It belongs to no gate, has no bound, and writes to files what does not fit in memory.
package exchange
