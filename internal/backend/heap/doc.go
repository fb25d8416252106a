// Package heap answers one question: where does the keyed state of one subtask lie, so that a record finds it fast and a checkpoint can copy
// it while records go on?
//
// There is one row per key. It holds the key and a column for each state of the operator, whatever their number. Rows lie in pages of about
// 4 KiB, in tables by key group, and never move; an index of 8-byte entries finds them. Handles (package state) share one cursor, which
// the runtime points at the row of the present record.
//
//   - One goroutine, the subtask's, calls everything except [Capture.Write] and [Capture.Release], which any goroutine may call.
//   - A [Ref] holds until the next EndBatch. Rows are freed there and nowhere else.
//   - A page is copied aside at most once per capture, before its first change. Nothing else happens to state while a capture is written:
//     inserting, freeing and growing go on as ever.
//   - In a store that tracks changes ([Layout.Track]) each page knows by epoch which of its rows have changed, by themselves or in what hangs
//     on them, and what is removed is remembered by epoch: see [Epoch]. What no capture has comes and goes without a trace.
//   - A state that holds its zero value is not there: it is written no differently from one that was never set, and a row all of whose
//     states are zero is freed when the batch ends in which it was found, cleared or fired.
//   - Over a byte store ([Store.Back]) the tables are a cache of rows, and so they are in memory only as long as they are in use: see backing.
//   - What a capture writes has the form of package keyed, which reads it without the program's types; here rows become bytes and bytes rows.
//   - Rows, keys and indexes without Go pointers lie outside the Go heap where the system allows (see arena).
//
// The order of use: [NewLayout], [Layout.Bind] for each processor, [NewStore], any number of [Store.Restore]; then for each batch
// [Store.Resolve], for each record [Store.Seek] and the user's code, [Store.Leave], [Store.EndBatch]; when event time moves,
// [Store.FireEvent]; at a barrier [Store.Capture]; at the end [Store.Close].
package heap
