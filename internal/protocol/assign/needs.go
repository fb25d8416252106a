package assign

import "github.com/weirstream/weir/internal/protocol/snapshot"

// Needs is what a restore has to read.
type Needs struct {
	Files []string // each once, in the order of vertices and subtasks
	Bytes int64    // over all subtasks, inline state included; a union state counts for each of them
}

// Needs returns what the subtasks have to read.
func (a *Assignment) Needs() Needs {
	var n Needs
	seen := map[string]bool{}
	for _, v := range a.Vertices {
		for _, op := range v.Operators {
			for _, sub := range op.Subtasks {
				n.add(sub, seen)
			}
		}
	}
	return n
}

func (n *Needs) add(sub *snapshot.OperatorSubtask, seen map[string]bool) {
	sub.EachStream(func(s *snapshot.Stream) {
		if s.Path != "" && !seen[s.Path] {
			seen[s.Path] = true
			n.Files = append(n.Files, s.Path)
		}
	})
	if sub == nil {
		return
	}
	for _, k := range sub.Keyed {
		n.Bytes += keyedBytes(k)
	}
	for _, l := range sub.Lists {
		n.Bytes += l.Stream.Length
	}
}

// keyedBytes returns the size of the header and the wanted groups, or of all files if only their backend knows what is in them.
func keyedBytes(k snapshot.Keyed) int64 {
	if k.Range.Len() == 0 {
		return 0
	}
	if k.Format != "" {
		n := k.Stream.Length
		for _, f := range k.Files {
			n += f.Stream.Length
		}
		return n
	}
	first, after := k.Range.First-k.Written.First, k.Range.Last+1-k.Written.First
	end := k.End
	if after < len(k.Offsets) {
		end = k.Offsets[after]
	}
	return k.Header + end - k.Offsets[first]
}
