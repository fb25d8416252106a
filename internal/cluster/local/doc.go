// Package local runs a whole job in one process: its master, and all its tasks.
//
// What is decided about the job, the master decides (package jobmaster). Here is the taskManager that it tells: it makes tasks out of the
// job's plan, gives each a goroutine, and carries messages and reports by calling the other side.
//
//   - Files, committers and counters are shared with the master instead of being opened again.
//   - The state backend is closed when the job has ended, whatever the end.
//   - Under a Scheduler nothing runs and nothing arrives but when it says so.
//
// Goroutines: one for each subtask, which it starts and which ends when the task is cancelled or finished; and those of jobmaster. All of them
// have ended when jobmaster.Execution.Wait returns.
package local
