// Package console shows a person, or a log, how a job is doing.
//
//   - On a terminal the last lines are a status that is redrawn a few times a second, and log lines scroll above it. Elsewhere everything
//     is a line of log/slog, the status too, every ten seconds.
//   - What is drawn is a pure function: Status and Size to lines. Time enters as Status.Now.
//   - Everything goes through one Screen, one write for each change, so that lines do not tear. It does not hide the cursor or change the
//     terminal's mode: a process that dies leaves nothing to repair.
//   - Text from outside, a step's name or an error, is shown without its control characters.
//
// Goroutines: Follow starts one, which Close ends.
package console
