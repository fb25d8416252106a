package snapshot

import (
	"fmt"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/element"
)

// String returns the metadata as text for people, over several lines. Its form may change; nothing should parse it.
func (m *Metadata) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d of job %s (%s), line %q", m.What(), m.Checkpoint, m.Job, m.JobName, m.Line)
	if m.Stop != element.GoOn {
		fmt.Fprintf(&b, ", %s with it", m.Stopped())
	}
	b.WriteByte('\n')
	fmt.Fprintf(&b, "epoch %d, triggered %s, completed %s\n", m.Epoch, timestamp(m.Triggered), timestamp(m.Completed))
	fmt.Fprintf(&b, "graph %q, key hash %q, group rule %q\n", m.Graph, m.KeyHash, m.GroupRule)
	for _, dir := range m.Directories {
		fmt.Fprintf(&b, "directory %s\n", dir)
	}
	for i := range m.Operators {
		m.Operators[i].dump(&b)
	}
	return b.String()
}

// What says in words what the snapshot is, as in "canonical savepoint".
func (m *Metadata) What() string {
	if m.Kind != Savepoint {
		return m.Kind.String()
	}
	return m.Format() + " savepoint"
}

// Format returns the name of a savepoint's format, empty for a checkpoint.
func (m *Metadata) Format() string {
	switch {
	case m.Kind != Savepoint:
		return ""
	case m.Native:
		return "native"
	}
	return "canonical"
}

// Stopped says how the job has stopped with the savepoint, empty if it has gone on.
func (m *Metadata) Stopped() string {
	return nameOf([]string{"", "suspended", "drained"}, int(m.Stop))
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (o *OperatorState) dump(b *strings.Builder) {
	fmt.Fprintf(b, "operator %s %q", o.ID, o.Name)
	if o.Named {
		b.WriteString(" (named)")
	}
	fmt.Fprintf(b, ": parallelism %d of %d", o.Parallelism, o.MaxParallelism)
	if o.FullyFinished {
		b.WriteString(", fully finished")
	}
	if o.Location != "" {
		fmt.Fprintf(b, ", at %s", o.Location)
	}
	b.WriteByte('\n')
	if o.Coordinator != nil {
		fmt.Fprintf(b, "  coordinator: %d bytes\n", len(o.Coordinator))
	}
	for i, s := range o.Subtasks {
		if s != nil {
			fmt.Fprintf(b, "  subtask %d:%s", i, s)
		}
	}
}

// String returns the state as text for people, a line for each keyed and list state.
func (o *OperatorSubtask) String() string {
	if o == nil {
		return " no state\n"
	}
	var b strings.Builder
	if o.Finished {
		b.WriteString(" finished")
	}
	b.WriteByte('\n')
	for i := range o.Keyed {
		k := &o.Keyed[i]
		what := "keyed"
		if k.Increment {
			what = "increment"
		}
		if k.Format != "" {
			what += " by " + k.Format
		}
		fmt.Fprintf(&b, "    %s %s of %s, header %d, groups to %d: %s\n", what, k.Range, k.Written, k.Header, k.End, k.Stream)
		for _, f := range k.Files {
			fmt.Fprintf(&b, "      file %q: %s\n", f.Name, f.Stream)
		}
	}
	for i := range o.Lists {
		l := &o.Lists[i]
		fmt.Fprintf(&b, "    list %q, %s, %d elements: %s\n", l.Name, l.Mode, len(l.Offsets), l.Stream)
	}
	return b.String()
}

// String returns where the stream is, its length and its checksum.
func (s Stream) String() string {
	where := "inline"
	if s.Path != "" {
		where = fmt.Sprintf("%s file %s at %d", s.Scope, s.Path, s.Offset)
	}
	return fmt.Sprintf("%s, %d bytes, crc32c %08x", where, s.Length, s.CRC)
}

// String returns the name of the scope.
func (s Scope) String() string { return nameOf([]string{"exclusive", "shared", "task-owned"}, int(s)) }

// String returns the name of the mode.
func (m Mode) String() string {
	return nameOf([]string{"split", "union", "broadcast", "merged"}, int(m))
}

// String returns the name of the kind.
func (k Kind) String() string { return nameOf([]string{"checkpoint", "savepoint"}, int(k)) }

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("unknown (%d)", i)
}
