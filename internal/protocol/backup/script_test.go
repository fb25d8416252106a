package backup

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/script"
)

// TestScripts plays testdata: what becomes of checkpoints, and which copies are kept.
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func() script.Player { return (&player{}).play })
}

type player struct {
	s      Store
	shared Shared
}

// play plays a command: a verb, the file that it is about if it is about a shared one, and the checkpoint.
func (p *player) play(t *testing.T, words []string) []string {
	var id job.CheckpointID
	if last := len(words) - 1; last > 0 && words[0] != "logged" && words[0] != "discard" {
		n, err := strconv.Atoi(words[last])
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
		return told(p.s.Confirm(id), p.shared.Confirm(id))
	case "abort":
		return told(p.s.Abort(id), p.shared.Abort(id))
	case "restored":
		return told(p.s.Restored(id), p.shared.Restored(id))
	case "dispose":
		return told(p.s.Dispose(), nil)
	case "logged":
		p.shared.Logged(words[1])
		return nil
	case "wrote":
		p.shared.Stored(words[1], id)
		return nil
	case "refer":
		if !p.shared.Refer(words[1], id) {
			return []string{"it is gone"}
		}
		return nil
	case "discard":
		p.shared.Discard(words[1])
		return nil
	}
	t.Fatalf("unknown command %q", words)
	return nil
}

func told(ids []job.CheckpointID, files []string) (out []string) {
	for _, id := range ids {
		out = append(out, fmt.Sprintf("delete %d", id))
	}
	slices.Sort(files)
	for _, f := range files {
		out = append(out, "delete "+f)
	}
	return out
}
