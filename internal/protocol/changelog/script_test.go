package changelog

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/script"
)

// TestScripts plays testdata: what is cut and written, what checkpoints consist of, and what is deleted.
//
//	log [interval=N] [failures=N]          first to be materialised at the time N; times are in seconds
//	begin FILES [FILES...]                 a restored base and segments; FILES are a,b or - for none
//	others FILES                           of a restored checkpoint
//	cut [segment] [base]                   a position, and pieces that are being written from then on
//	unchanged | break
//	written PIECE FILES [now=N]            a PIECE is s3 or b3
//	failed PIECE [now=N]
//	checkpoint ID [full]                   after a cut; a full one consists of the base at it
//	told ID | ended ID
//	due N [unchanged]                      whether to materialise; if so that begins, at a cut with a segment
//	state                                  where the next segment begins, and since when changes are to be remembered
//	close
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func() script.Player { return (&player{}).play })
}

type player struct {
	t   *testing.T
	l   *Log
	now time.Time
	out []string
}

func (p *player) say(format string, args ...any) { p.out = append(p.out, fmt.Sprintf(format, args...)) }

func (p *player) play(t *testing.T, words []string) []string {
	p.t, p.out = t, nil
	if words[0] == "log" {
		p.l = nil
	}
	args := p.options(words[1:])
	switch words[0] {
	case "log":
	case "begin":
		var segments [][]string
		for _, f := range args[1:] {
			segments = append(segments, files(f))
		}
		p.l.Begin(files(args[0]), segments...)
	case "others":
		p.l.Others(files(args[0]))
	case "cut":
		p.cut(args)
	case "unchanged":
		p.l.Unchanged()
	case "break":
		p.l.Break()
	case "written":
		p.l.Written(p.piece(args[0]), p.now, files(args[1])...)
	case "failed":
		if p.l.Failed(p.piece(args[0]), p.now) {
			p.say("too often")
		}
	case "checkpoint":
		p.checkpoint(args)
	case "told":
		p.l.Told(p.id(args[0]))
	case "ended":
		p.l.Ended(p.id(args[0]))
	case "due":
		p.due(args)
	case "state":
		p.say("tail %d, remembers since %d, %d segments", p.l.Tail(), p.l.Oldest(), p.l.Segments())
	case "close":
		p.sayDeleted(p.l.Close())
	default:
		t.Fatalf("unknown command %q", words)
	}
	p.sayDeleted(p.l.Useless())
	return p.out
}

// options takes out what has the form name=N.
func (p *player) options(words []string) (args []string) {
	o := Options{}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			args = append(args, w)
			continue
		}
		switch n := p.number(value); name {
		case "interval":
			o.Interval = time.Duration(n) * time.Second
		case "failures":
			o.MaxFailures = int(n)
		case "now":
			p.now = time.Unix(n, 0)
		}
	}
	if p.l == nil {
		p.now = time.Unix(0, 0)
		p.l = New(o, p.now.Add(o.Interval))
	}
	return args
}

func (p *player) cut(args []string) {
	p.l.Cut()
	for _, what := range args {
		if what == "segment" {
			p.say("%v", p.l.Segment())
		} else {
			p.say("%v", p.l.Base())
		}
	}
}

func (p *player) checkpoint(args []string) {
	var pieces []Piece
	if len(args) > 1 {
		pieces = p.l.CheckpointOf(p.id(args[0]), Piece{true, p.l.position})
	} else if pieces = p.l.Checkpoint(p.id(args[0])); pieces == nil {
		p.say("there is no base")
		return
	}
	p.say("%v", pieces)
}

func (p *player) due(args []string) {
	p.now = time.Unix(p.number(args[0]), 0)
	if !p.l.Due(p.now, len(args) == 1) {
		p.say("no")
		return
	}
	p.l.Cut()
	p.say("%v, %v", p.l.Segment(), p.l.Materialise())
}

func (p *player) sayDeleted(names []string) {
	for _, name := range names {
		p.say("delete %s", name)
	}
}

func (p *player) piece(word string) Piece { return Piece{word[0] == 'b', p.number(word[1:])} }

func (p *player) id(word string) job.CheckpointID { return job.CheckpointID(p.number(word)) }

func (p *player) number(word string) int64 {
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

func files(word string) []string {
	if word == "-" {
		return nil
	}
	return strings.Split(word, ",")
}
