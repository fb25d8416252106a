// Package jobmaster runs a whole job in one process: tasks, coordinator, enumerators, committers and the job line.
//
// A run has two parts. Start finds out how the job begins: it takes the line's lock, asks protocol/line, verifies checkpoints, lets the
// sinks recover. Then the master runs the job until it ends. The master is one goroutine; everything that happens is a function in its
// queue, and all decisions are those of the pure packages below protocol.
//
// Goroutines: the master's; one for each subtask; one that does the master's I/O in order (the clerk); short ones that delete files. All
// of them have ended when Execution.Wait returns.
package jobmaster
