package inspect

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText writes the report for people. The form may change.
func (r *Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s %d of job %q\n", r.what(), r.Checkpoint, r.JobName)
	switch r.Stop {
	case "suspended":
		fmt.Fprintf(t, "  job\tstopped with it; started from it, the job goes on\n")
	case "drained":
		fmt.Fprintf(t, "  job\tstopped with it, drained: it has finished\n")
	}
	fmt.Fprintf(t, "  path\t%s\n  job id\t%v\n  line\t%s, epoch %d\n", r.Path, r.Job, r.Line, r.Epoch)
	fmt.Fprintf(t, "  triggered\t%s\n", r.Triggered.UTC().Format(time.RFC3339Nano))
	fmt.Fprintf(t, "  completed\t%s, after %v\n", r.Completed.UTC().Format(time.RFC3339Nano), r.Completed.Sub(r.Triggered))
	fmt.Fprintf(t, "  state\t%d bytes: %d in _metadata, %d in %s\n", r.Bytes, r.Inline, r.Bytes-r.Inline, count(r.Files, "file"))
	fmt.Fprintf(t, "  graph\t%s\n  keys\t%s, %s\n", r.Graph, r.KeyHash, r.GroupRule)
	for i := range r.Steps {
		if err := t.Flush(); err != nil { // columns of one step do not widen those of another
			return err
		}
		r.Steps[i].writeText(t)
	}
	return t.Flush()
}

// what names the kind of snapshot.
func (r *Report) what() string {
	if r.Format == "" {
		return r.Kind
	}
	return r.Format + " " + r.Kind
}

func (s *Step) writeText(w io.Writer) {
	fmt.Fprintf(w, "\nstep %q, id %s\n", s.Name, s.ID)
	fmt.Fprintf(w, "  parallelism\t%d of at most %d%s\n", s.Parallelism, s.MaxParallelism, s.finished())
	if s.Location != "" {
		fmt.Fprintf(w, "  location\t%s\n", s.Location)
	}
	if s.Coordinator > 0 {
		fmt.Fprintf(w, "  coordinator\t%d bytes\n", s.Coordinator)
	}
	if s.Keyed == nil && len(s.Lists) == 0 {
		fmt.Fprintf(w, "  state\tnone\n")
	}
	if k := s.Keyed; k != nil && k.Format != "" {
		fmt.Fprintf(w, "  keyed\tby %s in the form of %s, of which --keys tells the keys, %d bytes\n", k.KeyType, k.Format, k.Bytes)
		for _, st := range k.States {
			fmt.Fprintf(w, "    %s %s\t%s\n", st.Kind, st.Name, st.typeAndTTL())
		}
	} else if k != nil {
		fmt.Fprintf(w, "  keyed\t%s by %s in %s, %d bytes\n", count(k.Keys, "key"), k.KeyType, count(k.Groups, "key group"), k.Bytes)
		for _, st := range k.States {
			fmt.Fprintf(w, "    %s %s\t%s\t%s\t%s\t%d bytes\n", st.Kind, st.Name, st.typeAndTTL(), count(st.Keys, "key"), st.entries(), st.Bytes)
		}
	}
	if k := s.Keyed; k != nil && k.Increments > 0 {
		fmt.Fprintf(w, "    of which\t%d bytes in %s\n", k.IncrementBytes, count(k.Increments, "increment"))
	}
	for _, l := range s.Lists {
		fmt.Fprintf(w, "  list\t%s\n", strings.Join(l.words(), ", "))
	}
	for _, sp := range s.Splits {
		fmt.Fprintf(w, "    split %s\tsubtask %d\t%d bytes\n", sp.ID, sp.Subtask, sp.Bytes)
	}
	for _, p := range s.Pending {
		fmt.Fprintf(w, "    pending of checkpoint %d\tsubtask %d\t%s\t%d bytes\n", p.Checkpoint, p.Subtask, count(p.Items, "item"), p.Bytes)
	}
}

func (s *Step) finished() string {
	switch {
	case s.FullyFinished:
		return ", fully finished"
	case s.Finished > 0:
		return fmt.Sprintf(", %d finished", s.Finished)
	}
	return ""
}

func (s *State) entries() string {
	switch s.Kind {
	case "map":
		return counts(s.Entries, "entry", "entries")
	case "list":
		return count(s.Entries, "element")
	case "timer":
		return count(s.Entries, "deadline")
	}
	return count(s.Entries, "value")
}

func (l *List) words() []string {
	words := []string{l.Name, l.Mode}
	if l.Type != "" {
		words = append(words, "[]"+l.Type)
	}
	return append(words, count(l.Elements, "element"), fmt.Sprintf("%d bytes", l.Bytes))
}

func count(n int, what string) string { return counts(n, what, what+"s") }

func counts(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (s *State) typeAndTTL() string {
	if s.TTL == "" {
		return s.Type
	}
	return s.Type + ", ttl " + s.TTL
}
