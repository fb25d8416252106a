// Package jobmaster is the master of one job: it says which tasks run and what they are told, and brings the job to its end. How tasks are run,
// and where, it does not know: that is a TaskManager.
//
// A run has two parts. Package start finds out how the job begins. Then the master runs it until it ends: it drives the coordinator of
// checkpoints and the supervisor of failover, lets sinks recover, answers sources, keeps the record of the line, and tells clients, who have an
// Execution, how the job is doing.
//
//   - All decisions are those of the pure packages below protocol. The master feeds them, and performs what they say.
//   - Whatever happens is a function in the master's queue. Reports of tasks and questions of clients enter there, and nowhere else.
//   - Before a sink commits anything, what it commits is complete and, where a start might go back behind it, on record.
//   - An error that ends the job says what the user can do.
//
// Goroutines: the master's; one that does its I/O in order (the clerk); short ones that delete files. All of them have ended when
// Execution.Wait returns.
package jobmaster
