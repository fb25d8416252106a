// Package start finds out how a job begins, and prepares it: from nothing, or from which checkpoint or savepoint, or not at all. What to do
// package line decides; here are its eyes and hands. Begin takes the lock of the line, reads its record and what checkpoints there are, verifies
// those that line asks for, asks sinks what they have committed, and when it is decided opens what the job needs.
//
//   - Until everything is known to fit (state, sinks, sources, the place for checkpoints) nothing is changed but who holds the lock.
//   - A start that is refused says what the user can do, and leaves all as it was. A snapshot that is claimed is an exception: the record is written
//     before the claim, and if that fails the next start claims it.
//   - Each write can be repeated after one that has failed or only seems to have.
//   - Nothing has recovered when Begin returns: that is the first thing that the master does.
//   - Plan looks the same way, and changes nothing at all.
//
// Begin works on the goroutine of its caller. It starts none, but enumerators may.
package start
