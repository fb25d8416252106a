package backup

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/script"
)

// TestScripts plays testdata: what becomes of checkpoints, and which copies are kept.
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func() script.Player { return (&player{}).play })
}

type player struct{ s Store }

func (p *player) play(t *testing.T, words []string) []string {
	var id job.CheckpointID
	if len(words) > 1 {
		n, err := strconv.Atoi(words[1])
		if err != nil {
			t.Fatal(err)
		}
		id = job.CheckpointID(n)
	}
	switch words[0] {
	case "stored":
		if !p.s.Stored(id) {
			return []string{"delete it"}
		}
		return nil
	case "wanted":
		return []string{fmt.Sprint(p.s.Wanted(id))}
	case "confirm":
		return told(p.s.Confirm(id))
	case "abort":
		return told(p.s.Abort(id))
	case "restored":
		return told(p.s.Restored(id))
	case "dispose":
		return told(p.s.Dispose())
	}
	t.Fatalf("unknown command %q", words)
	return nil
}

func told(ids []job.CheckpointID) (out []string) {
	for _, id := range ids {
		out = append(out, fmt.Sprintf("delete %d", id))
	}
	return out
}
