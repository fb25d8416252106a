package splits

import (
	"strconv"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/script"
)

// TestLedger plays testdata: splits that are handed out and snapshots that are taken in between, and what comes back when a subtask is reset.
func TestLedger(t *testing.T) {
	script.Run(t, "testdata/*.txt", func() script.Player {
		var l *Ledger[string]
		return func(t *testing.T, words []string) []string {
			n, err := strconv.Atoi(words[1])
			if err != nil {
				t.Fatal(err)
			}
			switch words[0] {
			case "new":
				l = New[string](job.CheckpointID(n))
			case "give":
				for _, split := range words[2:] {
					l.Given(n, split)
				}
			case "snapshot":
				l.Snapshot(job.CheckpointID(n))
			case "complete":
				l.Complete(job.CheckpointID(n))
			case "reset":
				to, _ := strconv.Atoi(words[2])
				back, ok := l.Reset(n, job.CheckpointID(to))
				if !ok {
					return []string{"not known"}
				}
				return []string{"back: " + strings.Join(back, " ")}
			default:
				t.Fatalf("unknown command %q", words)
			}
			return nil
		}
	})
}
