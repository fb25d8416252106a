// Package crashtest runs the program of a job as a process of its own, kills it, damages what it leaves behind, and reads what it has
// committed. The tests in this package do so to examples/flights, and to everything, a job that has every kind of state and does to itself what
// its flags say. They answer whether a user can ever see that a process was killed.
//
//   - A Process is a real one. What it has not synced when it is killed may be lost to it, but the machine goes on: power failures are
//     for the file systems that forget, in internal/storage/fs.
//   - Moments are found by watching: the log of the process, and the files that appear. Nothing in the program knows that it is tested.
//   - Rows are what counts: those in files of which no part of the path below the output folder begins with "." or "_".
package crashtest
