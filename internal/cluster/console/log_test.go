package console

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// logLine returns what is logged of a status, without the time.
func logLine(s *Status) []string {
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})).Info("status", s.Attrs()...)
	return strings.Split(strings.TrimSpace(b.String()), "\n")
}

// Lines for people: no level if it is INFO, small attributes in parentheses, errors last, further lines below the first.
func TestHandler(t *testing.T) {
	at := time.Date(2026, 3, 1, 15, 4, 5, 0, time.Local)
	for _, c := range []struct {
		name  string
		color bool
		with  func(l *slog.Logger) *slog.Logger
		level slog.Level
		text  string
		args  []any
		want  string
	}{
		{name: "plain", text: "new start", want: "15:04:05 new start\n"},
		{name: "attributes", level: slog.LevelWarn, text: "the job restarts",
			args: []any{"error", errors.New("line 7 has 3 columns"), "delay", time.Second, "file", "a b"},
			want: "15:04:05 WARN the job restarts (delay=1s, file=\"a b\"): line 7 has 3 columns\n"},
		{name: "several lines", level: slog.LevelError, text: "the job has failed\nfor good", args: []any{"error", errors.New("panic: x\n  goroutine 7\n")},
			want: "15:04:05 ERROR the job has failed\n         for good: panic: x\n           goroutine 7\n"},
		{name: "groups", text: "m", with: func(l *slog.Logger) *slog.Logger { return l.With("step", "a").WithGroup("g").With("b", 1) },
			args: []any{slog.Group("h", "c", 2), "d", ""}, want: "15:04:05 m (step=a, g.b=1, g.h.c=2, g.d=\"\")\n"},
		{name: "color", color: true, level: slog.LevelWarn, text: "m", want: "\x1b[2m15:04:05\x1b[0m \x1b[33mWARN\x1b[0m m\n"},
		{name: "control characters", text: "a\x1b[2Jb\tc", args: []any{"k", "\x1b", "error", errors.New("x\x07\r\ny")},
			want: "15:04:05 a [2Jb\tc (k=\"\\x1b\"): x\n         y\n"},
		{name: "debug is left out", level: slog.LevelDebug, text: "m"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			l := slog.New(atTime{NewHandler(&b, slog.LevelInfo, c.color), at})
			if c.with != nil {
				l = slog.New(atTime{c.with(slog.New(NewHandler(&b, slog.LevelInfo, c.color))).Handler(), at})
			}
			l.Log(t.Context(), c.level, c.text, c.args...)
			if got := b.String(); got != c.want {
				t.Errorf("got\n%q, want\n%q", got, c.want)
			}
		})
	}
}
