package weir_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/file"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/window"
)

type hits struct {
	Start time.Time
	Page  string
	N     int
}

// Timers fire: windows come out when event time passes their end, the last ones at the end of the data.
func TestWindowsComeOut(t *testing.T) {
	out := t.TempDir()
	j := weir.NewJob("windows")
	j.Logger(slog.New(slog.DiscardHandler))
	pages := fstest.MapFS{"pages.txt": {Data: []byte("1a\n1a\n1b\n2a\n5c\n")}}
	lines := weir.From(j, "lines", file.Lines("pages.txt", file.FS("test", pages)))
	timed := weir.EventTime(lines, func(s string) time.Time { return time.Unix(int64(s[0]-'0'), 0) })
	counts := weir.Window(weir.KeyBy(timed, func(s string) string { return s[1:] }), "count", window.Tumbling(time.Second),
		func(n *int, _ string) { *n++ },
		func(page string, w window.Span, n int) hits { return hits{w.StartTime(), page, n} })
	weir.To(counts, "out", file.CSV[hits](out))
	if _, err := weir.Run(context.Background(), j); err != nil {
		t.Fatal(err)
	}
	got := committed(t, out)
	want := []string{"1970-01-01T00:00:01Z,a,2", "1970-01-01T00:00:01Z,b,1", "1970-01-01T00:00:02Z,a,1", "1970-01-01T00:00:05Z,c,1", "start,page,n"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// committed returns the lines of the committed files of a folder, sorted.
func committed(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return slices.Sorted(strings.SplitSeq(strings.TrimSpace(all.String()), "\n"))
}

type timerWithoutMethod struct {
	Seen state.Value[int] `state:"seen"`
	Idle weir.Timer       `timer:"idle,event"`
}

func (*timerWithoutMethod) On(*weir.Ctx[string, string], string) error { return nil }

// A processor with a timer that nothing handles is refused when the job is built.
func TestTimerNeedsMethod(t *testing.T) {
	j := weir.NewJob("timer")
	lines := weir.From(j, "lines", file.Lines("x"))
	weir.Process(weir.KeyBy(lines, weir.Self), "idle", &timerWithoutMethod{})
	_, err := weir.Run(context.Background(), j)
	if err == nil || !strings.Contains(err.Error(), "OnTimer") {
		t.Errorf("error %v does not name the method OnTimer", err)
	}
}
