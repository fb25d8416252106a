package operator

import (
	"testing"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

var chainGroups = keygroup.Range{First: 0, Last: 7}

func keyedOf(bytes int64, increment bool) snapshot.Keyed {
	return snapshot.Keyed{Range: chainGroups, Written: chainGroups, Increment: increment,
		Stream: snapshot.Stream{Path: "f", Scope: snapshot.Shared, Length: bytes}}
}

// checkpoint takes a checkpoint, writes it and returns the length of its chain.
func checkpoint(c *Chain, id job.CheckpointID, kind element.SnapshotKind, bytes int64) (links int) {
	base := c.Base(kind, func(snapshot.Stream) bool { return true })
	return len(c.Take(id, uint32(id), base).Written(keyedOf(bytes, base != nil)))
}

// Increments stand on the newest checkpoint that is known to be complete, whatever else was taken, given up or confirmed late.
func TestChainStandsOnWhatIsComplete(t *testing.T) {
	var c Chain
	steps := []struct {
		do   func() int
		want int
		why  string
	}{
		{func() int { return checkpoint(&c, 1, element.Checkpoint, 1000) }, 1, "there is nothing to stand on"},
		{func() int { return checkpoint(&c, 2, element.Checkpoint, 1000) }, 1, "the first is not known to be complete"},
		{func() int { c.Complete(1); return checkpoint(&c, 3, element.Checkpoint, 10) }, 2, "the first is complete"},
		{func() int { c.Aborted(2); return checkpoint(&c, 4, element.Checkpoint, 10) }, 2, "the third is not"},
		{func() int { c.Complete(4); return checkpoint(&c, 5, element.Checkpoint, 10) }, 3, "the fourth is complete"},
		{func() int { c.Complete(3); return checkpoint(&c, 6, element.Checkpoint, 10) }, 3, "a late word of the third changes nothing"},
		{func() int { return checkpoint(&c, 7, element.FullCheckpoint, 1000) }, 1, "it is to be full"},
		{func() int { c.Complete(7); return checkpoint(&c, 8, element.Checkpoint, 990) }, 2, "later ones stand on a full one"},
		{func() int { c.Complete(8); return checkpoint(&c, 9, element.Checkpoint, 20) }, 3, "increments have not grown to the size of the base"},
		{func() int { c.Complete(9); return checkpoint(&c, 10, element.Checkpoint, 20) }, 1, "they have"},
	}
	for i, s := range steps {
		if got := s.do(); got != s.want {
			t.Errorf("checkpoint %d has a chain of %d, want %d: %s", i+1, got, s.want, s.why)
		}
	}
}

// A restored chain goes on if it is that of a subtask with the same key groups, in files that may be shared.
func TestRestoredChain(t *testing.T) {
	whole, increment := keyedOf(1000, false), keyedOf(10, true)
	exclusive, part, other, two := whole, whole, whole, increment
	exclusive.Stream.Scope = snapshot.Exclusive
	part.Range.Last = 3
	other.Format = "pebble"
	two.Increment = false
	for name, c := range map[string]struct {
		streams []snapshot.Keyed
		links   int
	}{
		"a chain":               {[]snapshot.Keyed{whole, increment}, 3},
		"a savepoint":           {[]snapshot.Keyed{exclusive}, 1},
		"a part":                {[]snapshot.Keyed{part}, 1},
		"another backend":       {[]snapshot.Keyed{other}, 1},
		"parts of two subtasks": {[]snapshot.Keyed{whole, two}, 1},
		"nothing":               {nil, 1},
	} {
		var chain Chain
		chain.Restored(5, 1, c.streams, chainGroups)
		if got := checkpoint(&chain, 6, element.Checkpoint, 10); got != c.links {
			t.Errorf("%s goes on with a chain of %d, want %d", name, got, c.links)
		}
	}
}
