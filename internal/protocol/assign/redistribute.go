package assign

import (
	"maps"
	"slices"

	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// redistribute deals the state of one operator out to the subtasks of another parallelism, or of the same.
//
// Subtasks that had finished have nothing to give. At the same parallelism they begin empty, and do not take over what others hold.
func redistribute(state *snapshot.OperatorState, parallelism int) []*snapshot.OperatorSubtask {
	to := make([]snapshot.OperatorSubtask, parallelism)
	if parallelism == state.Parallelism {
		for i, s := range state.Subtasks {
			if s != nil {
				to[i].Keyed = s.Keyed
			}
		}
	} else {
		cutKeyed(state, to)
	}
	dealLists(state, to)

	subtasks := make([]*snapshot.OperatorSubtask, parallelism)
	for i := range to {
		if !to[i].IsEmpty() {
			subtasks[i] = &to[i]
		}
	}
	return subtasks
}

// cutKeyed gives each subtask the part of each old stream that holds groups of its own.
func cutKeyed(state *snapshot.OperatorState, to []snapshot.OperatorSubtask) {
	for i := range to {
		own := keygroup.RangeOf(i, len(to), state.MaxParallelism)
		for _, s := range state.Subtasks {
			if s == nil {
				continue
			}
			for _, k := range s.Keyed {
				k.Range = k.Range.Intersect(own)
				if k.Range.Len() > 0 {
					to[i].Keyed = append(to[i].Keyed, k)
				}
			}
		}
	}
}

// copies holds all that the old subtasks have of one list state, in their order.
type copies struct {
	mode   snapshot.Mode
	lists  []snapshot.List
	owners []int // the old subtask of each
}

func (c *copies) of(subtask int) (own []snapshot.List) {
	for i, l := range c.lists {
		if c.owners[i] == subtask {
			own = append(own, l)
		}
	}
	return own
}

// dealLists deals out the list states one after the other, in order of name so that the result does not depend on anything else.
func dealLists(state *snapshot.OperatorState, to []snapshot.OperatorSubtask) {
	states := collectLists(state)
	next := 0 // the subtask that gets the first elements of the next split state
	for _, name := range slices.Sorted(maps.Keys(states)) {
		c := states[name]
		switch {
		case c.mode == snapshot.Union, c.mode == snapshot.Merged:
			for i := range to {
				to[i].Lists = append(to[i].Lists, c.lists...)
			}
		case c.mode == snapshot.Broadcast:
			giveCopies(c, to, len(to) == state.Parallelism)
		case len(to) == state.Parallelism:
			for i := range to {
				to[i].Lists = append(to[i].Lists, c.of(i)...)
			}
		default:
			next = splitList(c.lists, to, next)
		}
	}
}

func collectLists(state *snapshot.OperatorState) map[string]*copies {
	states := map[string]*copies{}
	for i, s := range state.Subtasks {
		if s == nil {
			continue
		}
		for _, l := range s.Lists {
			c := states[l.Name]
			if c == nil {
				c = &copies{mode: l.Mode}
				states[l.Name] = c
			}
			c.lists = append(c.lists, l)
			c.owners = append(c.owners, i)
		}
	}
	return states
}

// giveCopies gives each subtask one whole copy: its own if it has kept its place, or else one of those there are, in turn.
func giveCopies(c *copies, to []snapshot.OperatorSubtask, keepOwn bool) {
	for i := range to {
		var copied []snapshot.List
		if keepOwn {
			copied = c.of(i)
		}
		if copied == nil {
			copied = c.lists[i%len(c.lists):][:1]
		}
		to[i].Lists = append(to[i].Lists, copied...)
	}
}

// splitList deals out elements in runs as equal as possible, in their order, beginning with subtask next. The first of them get one
// more each if it does not come out even; the one after those is returned, and begins with the next state, so that over
// several states the surplus is spread.
func splitList(lists []snapshot.List, to []snapshot.OperatorSubtask, next int) int {
	total := 0
	for _, l := range lists {
		total += len(l.Offsets)
	}
	base, surplus := total/len(to), total%len(to)
	queue := queue{lists: lists}
	for n := range to {
		i := (next + n) % len(to)
		share := base
		if n < surplus {
			share++
		}
		to[i].Lists = append(to[i].Lists, queue.take(share)...)
	}
	return (next + surplus) % len(to)
}

// queue hands out the elements of several lists in order.
type queue struct {
	lists []snapshot.List
	used  int // elements of the first list that are gone
}

func (q *queue) take(n int) (taken []snapshot.List) {
	for n > 0 {
		l := q.lists[0]
		part := min(n, len(l.Offsets)-q.used)
		if part > 0 {
			taken = append(taken, cutList(l, q.used, q.used+part))
		}
		n -= part
		q.used += part
		if q.used == len(l.Offsets) {
			q.lists, q.used = q.lists[1:], 0
		}
	}
	return taken
}

// cutList returns elements from .. to-1 of a list, as a stream that begins with the first and ends with the last of them.
func cutList(l snapshot.List, from, to int) snapshot.List {
	if from == 0 && to == len(l.Offsets) {
		return l
	}
	begin, end := l.Offsets[from], l.Stream.Length
	if to < len(l.Offsets) {
		end = l.Offsets[to]
	}
	offsets := make([]int64, to-from)
	for i := range offsets {
		offsets[i] = l.Offsets[from+i] - begin
	}
	l.Offsets = offsets
	l.Stream = cutStream(l.Stream, begin, end)
	return l
}

func cutStream(s snapshot.Stream, begin, end int64) snapshot.Stream {
	s.Partial = true
	s.Length = end - begin
	if s.Path == "" {
		s.Inline = s.Inline[begin:end]
	} else {
		s.Offset += begin
	}
	return s
}
