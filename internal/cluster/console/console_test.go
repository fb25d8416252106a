package console

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir/internal/cluster/progress"
	"github.com/weirstream/weir/internal/element"
)

// Where nothing can be drawn the status follows every ten seconds, and the summary is last.
func TestConsoleAsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		c := newConsole("words", &b, terminal{})
		c.Logger().Info("job runs in process 7")
		start := time.Now()
		p := func() progress.Progress {
			in := 7 * time.Since(start).Milliseconds()
			return progress.Progress{Phase: progress.Running, Newest: element.NoTime, Steps: []progress.Step{{Name: "count", In: in, Watermark: element.NoTime}}}
		}
		c.Follow(p, true)
		time.Sleep(25 * time.Second)
		c.Close()
		last := p()
		c.Summarize(&last, End{Status: "FINISHED"})

		want := []string{"process 7", "running=10s count.in=70000 count.in_per_s=7000", "running=20s", "words: FINISHED after 25s"}
		lines := strings.Split(b.String(), "\n")
		for i, w := range want {
			if !strings.Contains(lines[i], w) {
				t.Errorf("line %d: %s\nwant %q", i+1, lines[i], w)
			}
		}
	})
}

// On a terminal the status is drawn and goes away at the end; one that cannot draw gets the status as lines for people.
func TestConsoleOnTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vt{width: 60}
		c := newConsole("words", v, terminal{isTerminal: true, canDraw: true, size: v.size})
		c.Logger().Info("job runs")
		c.Follow(func() progress.Progress { return progress.Progress{Phase: progress.Running, Newest: element.NoTime} }, true)
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		if got := v.String(); !strings.Contains(got, "job runs\nwords: running, 1s, process") {
			t.Errorf("after a second:\n%s", got)
		}
		c.Close()
		fmt.Fprintln(c, "end")
		if lines := strings.Split(v.String(), "\n"); len(lines) != 2 || lines[1] != "end" {
			t.Errorf("at the end:\n%s", v)
		}

		var b bytes.Buffer
		c = newConsole("words", &b, terminal{isTerminal: true, size: v.size})
		c.Logger().Info("job runs")
		c.Follow(func() progress.Progress { return progress.Progress{Phase: progress.Running, Newest: element.NoTime} }, true)
		time.Sleep(11 * time.Second)
		c.Close()
		if got := b.String(); strings.Contains(got, "\x1b") || !strings.Contains(got, "status (phase=running, running=10s, restarts=0)") {
			t.Errorf("on a dumb terminal:\n%s", got)
		}
	})
}
