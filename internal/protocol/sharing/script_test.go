package sharing

import (
	"strconv"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/script"
)

// TestScripts plays testdata: what a registry is told, and what it has deleted.
//
//	ack ID PATH...                       a task acknowledges a checkpoint; a PATH that ends with / is a directory of merged files
//	restored ID HOME owned|foreign PATH...   the job has found a checkpoint in the directory HOME
//	settle KEPT... [highest=ID] [+over]  which complete checkpoints there are; one in brackets is not known to be complete
//	directories ID                       which a checkpoint is published with
//	holds HOME                           whether the directory of a checkpoint must stay
//
// Paths are streams of scope Shared, or TaskOwned with a leading "private:", or Exclusive with "own:".
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func() script.Player { return (&player{}).play })
}

type player struct{ r Registry }

func (p *player) play(t *testing.T, words []string) []string {
	switch args := words[1:]; words[0] {
	case "ack":
		if lost, ok := p.r.Register(id(t, args[0]), uses(args[1:])); !ok {
			return []string{"refused: " + lost + " was deleted"}
		}
	case "restored":
		p.r.Restored(id(t, args[0]), args[1], args[2] == "owned", uses(args[3:]))
	case "settle":
		return p.settle(t, args)
	case "directories":
		return []string{strings.Join(append([]string{"["}, p.r.Directories(id(t, args[0]))...), " ") + " ]"}
	case "holds":
		return []string{strconv.FormatBool(p.r.Holds(args[0]))}
	default:
		t.Fatalf("unknown command %q", words)
	}
	return nil
}

func (p *player) settle(t *testing.T, args []string) (out []string) {
	var s Situation
	for _, w := range args {
		highest, ok := strings.CutPrefix(w, "highest=")
		switch {
		case ok:
			s.Highest = id(t, highest)
		case w == "+over":
			s.Over = true
		default:
			kept := id(t, strings.Trim(w, "()"))
			s.Kept = append(s.Kept, kept)
			if !strings.HasPrefix(w, "(") {
				s.Newest = max(s.Newest, kept)
			}
		}
	}
	s.Highest = max(s.Highest, s.Newest)
	d := p.r.Settle(s)
	for _, f := range d.Files {
		out = append(out, "delete "+f)
	}
	for _, dir := range d.Directories {
		out = append(out, "delete directory "+dir)
	}
	return out
}

func id(t *testing.T, word string) job.CheckpointID {
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return job.CheckpointID(n)
}

func uses(paths []string) (u Uses) {
	for _, p := range paths {
		if dir, ok := strings.CutSuffix(p, "/"); ok {
			u.Directories = append(u.Directories, dir)
			continue
		}
		s := snapshot.Stream{Scope: snapshot.Shared, Length: 1}
		if private, ok := strings.CutPrefix(p, "private:"); ok {
			p, s.Scope = private, snapshot.TaskOwned
		}
		if own, ok := strings.CutPrefix(p, "own:"); ok {
			p, s.Scope = own, snapshot.Exclusive
		}
		s.Path = p
		u.Streams = append(u.Streams, s)
	}
	return u
}
