package console

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// NewHandler returns a handler that writes records for people to read, each with one call of out.Write:
//
//	15:04:05 Completed checkpoint 3 for job 5f3a (9844 bytes, checkpointDuration=1 ms)
//	15:04:06 WARN the job restarts (delay=1s, restarts=1): step "parse", subtask 0: line 7 has 3 columns
//
// The time is that of the local clock; the level is left out if it is INFO. An attribute that is an error stands last. Where a message or
// an error has several lines, the others follow below the first.
func NewHandler(out io.Writer, level slog.Leveler, color bool) slog.Handler {
	return &handler{out: out, level: level, color: color}
}

type handler struct {
	out   io.Writer // writes whole lines, and may be called concurrently
	level slog.Leveler
	color bool
	group string // prefix of the keys
	attrs []attr // of WithAttrs
}

// attr is an attribute whose key names its groups.
type attr struct {
	key   string
	value slog.Value
}

// Enabled reports whether records of the level are written.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

// WithAttrs returns a handler that adds attributes to each record.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = append([]attr(nil), h.attrs...)
	for _, a := range attrs {
		with.attrs = flatten(with.attrs, h.group, a)
	}
	return &with
}

// WithGroup returns a handler that puts what follows into a group.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.group += name + "."
	return &with
}

// flatten appends an attribute, or those of the group that it is.
func flatten(to []attr, group string, a slog.Attr) []attr {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range value.Group() {
			to = flatten(to, group, inner)
		}
		return to
	}
	if a.Key == "" && value.Kind() == slog.KindAny && value.Any() == nil {
		return to
	}
	return append(to, attr{group + a.Key, value})
}

// Handle writes a record.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	attrs := append([]attr(nil), h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		attrs = flatten(attrs, h.group, a)
		return true
	})
	_, err := io.WriteString(h.out, h.format(r, attrs))
	return err
}

func (h *handler) format(r slog.Record, attrs []attr) string {
	var b strings.Builder
	if !r.Time.IsZero() {
		b.WriteString(h.paint(dim, r.Time.Format(time.TimeOnly)) + " ")
	}
	if r.Level != slog.LevelInfo {
		b.WriteString(h.paint(colorOf(r.Level), r.Level.String()) + " ")
	}
	message, failure := harmless(r.Message, "\n\t"), ""
	var small []string
	for _, a := range attrs {
		if err, ok := a.value.Any().(error); ok && failure == "" {
			failure = harmless(err.Error(), "\n\t")
			continue
		}
		small = append(small, a.key+"="+quoted(a.value))
	}
	if len(small) > 0 {
		message += " " + h.paint(dim, "("+strings.Join(small, ", ")+")")
	}
	if failure != "" {
		message += ": " + failure
	}
	writeLines(&b, message)
	return b.String()
}

// writeLines writes a text whose lines but the first stand below it.
func writeLines(b *strings.Builder, text string) {
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if i > 0 {
			b.WriteString("         ")
		}
		b.WriteString(strings.TrimRight(line, " \r") + "\n")
	}
}

// quoted returns a value, in quotes if it could be taken for more than one.
func quoted(v slog.Value) string {
	if v.Kind() == slog.KindTime {
		return v.Time().Format(time.RFC3339)
	}
	text := fmt.Sprint(v.Any())
	if text == "" || strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune(`,()"=`, r)
	}) {
		return strconv.Quote(text)
	}
	return text
}

// The escape sequences of a terminal that change how letters look.
const (
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

func colorOf(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return red
	case l >= slog.LevelWarn:
		return yellow
	}
	return dim
}

func (h *handler) paint(color, text string) string {
	if !h.color {
		return text
	}
	return color + text + plain
}
