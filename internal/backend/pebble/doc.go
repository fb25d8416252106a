// Package pebble answers one question: how does keyed state lie on the local disk, in Pebble, so that it may be larger than memory and a
// checkpoint costs what has changed?
//
// It is a backend.Factory like one that users write, and knows bytes only. A store is a Pebble database in a directory of its own.
//
//   - Nothing here survives a crash, on purpose: there is no write-ahead log and no fsync. What survives is what a snapshot has given to the
//     checkpoint storage. Directories of dead processes are swept by the next one that uses the same localdir.
//   - A snapshot is a flush and a directory of hard links. Tables never change and their numbers are never used twice within a store, nor in
//     one that was opened with the snapshot: they are the lasting files. All else is small and private.
//   - A restore with all groups opens the files as they are. One with some of the groups cuts the others off by their keys, which moves no
//     data; what comes from other parts is written as sorted tables and linked in.
//   - All stores of a factory share one block cache, in which their memtables are counted, and one cache of open files.
//   - Pebble retries a flush that fails for ever, and wants the process to end where its own record of the files cannot be written. Here the
//     first such error fails the store: see failure.
//
// Goroutines: those of Pebble, which Store.Close ends, and while a call runs that may have to wait, one to do it.
package pebble
