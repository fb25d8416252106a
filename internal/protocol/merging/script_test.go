package merging

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/script"
)

// TestScripts plays testdata: what streams are written, and where they come to lie.
//
//	manager [across] [blocking] [size=N] [per-file=N] [amplification=X] [subtasks=N]
//	write STREAM CHECKPOINT SUBTASK LENGTH [shared]    a whole stream, from Take to Give
//	take HOLDER CHECKPOINT SUBTASK [shared]            the holder begins a stream
//	wrote HOLDER STREAM LENGTH | wasted HOLDER LENGTH  and ends it, giving the file back
//	give-up HOLDER                                     the file cannot be written to any more
//	use STREAM CHECKPOINT                              refer to it again
//	complete ID, release ID, close-all, stats, may-use STREAM
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func() script.Player { return newPlayer().play })
}

type player struct {
	t       *testing.T
	m       *Manager
	streams map[string]Place
	taken   map[string]FileID
	owners  map[string]Owner
	out     []string
}

func newPlayer() *player {
	return &player{streams: map[string]Place{}, taken: map[string]FileID{}, owners: map[string]Owner{}}
}

func (p *player) say(format string, args ...any) { p.out = append(p.out, fmt.Sprintf(format, args...)) }

func (p *player) play(t *testing.T, words []string) []string {
	p.t, p.out = t, nil
	args := words[1:]
	switch words[0] {
	case "manager":
		p.m = New(p.options(args))
		p.m.Subtasks(p.subtasks(args))
	case "write":
		if p.take("", args[1:3], args[4:]) {
			p.wrote("", args[0], p.number(args[3]))
		}
	case "take":
		p.take(args[0], args[1:3], args[3:])
	case "wrote":
		p.wrote(args[0], args[1], p.number(args[2]))
	case "wasted":
		p.m.Wasted(p.taken[args[0]], p.number(args[1]))
		p.m.Give(p.taken[args[0]])
	case "give-up":
		p.m.GiveUp(p.taken[args[0]])
	case "use":
		p.say("%v", p.m.Use(p.streams[args[0]], job.CheckpointID(p.number(args[1]))))
	case "may-use":
		p.say("%v", p.m.MayUse(p.streams[args[0]]))
	case "complete":
		p.m.Complete(job.CheckpointID(p.number(args[0])))
	case "release":
		p.m.Release(job.CheckpointID(p.number(args[0])))
	case "close-all":
		p.m.CloseAll()
	case "stats":
		p.say("%+v", p.m.Stats())
	default:
		t.Fatalf("unknown command %q", words)
	}
	if p.m != nil {
		for _, a := range p.m.Actions() {
			switch a := a.(type) {
			case Close:
				p.say("close file %d", a.File)
			case Delete:
				p.say("delete file %d", a.File)
			}
		}
	}
	return p.out
}

func (p *player) options(args []string) Options {
	o := Options{MaxFileSize: 100, MaxSubtasks: 4, MaxAmplification: 2}
	for _, w := range args {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "across":
			o.AcrossBoundary = true
		case "blocking":
			o.Blocking = true
		case "size":
			o.MaxFileSize = p.number(value)
		case "per-file":
			o.MaxSubtasks = int(p.number(value))
		case "amplification":
			o.MaxAmplification, _ = strconv.ParseFloat(value, 64)
		}
	}
	return o
}

func (p *player) subtasks(args []string) int {
	for _, w := range args {
		if n, ok := strings.CutPrefix(w, "subtasks="); ok {
			return int(p.number(n))
		}
	}
	return 1
}

func (p *player) take(holder string, who, rest []string) bool {
	o := Owner{Checkpoint: job.CheckpointID(p.number(who[0])), Subtask: job.Subtask{Index: int(p.number(who[1]))}, Scope: snapshot.TaskOwned}
	if slices.Contains(rest, "shared") {
		o.Scope = snapshot.Shared
	}
	f, offset, made, ok := p.m.Take(o)
	switch {
	case !ok:
		p.say("wait")
		return false
	case made:
		p.say("file %d, new", f)
	default:
		p.say("file %d from %d", f, offset)
	}
	p.taken[holder], p.owners[holder] = f, o
	return true
}

func (p *player) wrote(holder, stream string, length int64) {
	p.streams[stream] = p.m.Wrote(p.taken[holder], p.owners[holder], length)
	p.m.Give(p.taken[holder])
}

func (p *player) number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}
