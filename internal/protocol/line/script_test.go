package line

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/script"
)

// TestScripts plays testdata: the history of a job line, each start with everything it asks for and what the user gets to read. There
// is a script for every row of the tables in docs/recovery.md.
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func() script.Player { return newWorld().play })
}

// world is what lies outside of Decide: a checkpoint directory, sinks, and what the user has typed.
type world struct {
	now          time.Time
	starts       int
	record       *Record
	recordDamage string
	found        []Found
	elsewhere    []Snapshot // savepoints, and checkpoints of other lines
	owner        *Owner     // of what lies elsewhere
	state        map[string]check
	sources      map[string]string
	sinks        map[string]*worldSink
	ids          IDs
}

// worldSink is a two-phase sink: it commits one thing with each checkpoint.
type worldSink struct {
	location   string
	line       string // whose output it shows
	committed  []job.CheckpointID
	withdrawal Withdrawal
	unknown    bool
}

func newWorld() *world {
	return &world{
		now:     time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC),
		state:   map[string]check{},
		sources: map[string]string{},
		sinks:   map[string]*worldSink{},
	}
}

func (w *world) play(t *testing.T, words []string) []string {
	rest := func(i int) string { return strings.Join(words[i:], " ") }
	switch words[0] {
	case "another": // world, without a history
		*w = *newWorld()
	case "source": // name location
		w.sources[words[1]] = words[2]
	case "sink": // name location [automatic|on-request] [unknown]
		w.sink(words[1], words[2], words[3:])
	case "start": // flags
		return w.start(t, words[1:])
	case "checkpoints": // how many complete, and are committed
		for range number(t, words[1]) {
			w.checkpoint(t)
		}
	case "commit": // sink id: outside of any checkpoint of the record's, as a sink without checkpoints does at the end of data
		w.sinks[words[1]].committed = append(w.sinks[words[1]].committed, job.CheckpointID(number(t, words[2])))
	case "crash":
		w.now = w.now.Add(time.Minute)
	case "end": // state keep|drop reason
		return w.end(words[1], words[2], rest(3), false)
	case "stop": // path [drain]: with a savepoint, which is complete, and committed
		w.stop(words[1], len(words) > 2)
	case "stopped": // state keep|drop reason: how a run ends that has stopped with a savepoint
		return w.end(words[1], words[2], rest(3), true)
	case "cancelled-with": // path keep|drop: after a savepoint
		w.end("CANCELED", words[2], "", false)
		id, _ := w.ids.Take()
		s := Snapshot{Path: words[1], Job: w.record.Job().ID, Checkpoint: id, Line: w.record.Line, Epoch: w.record.Epoch}
		w.elsewhere, w.record.End.Savepoint = append(w.elsewhere, s), &s
	case "damage": // path why
		w.state[words[1]] = check{Damaged, rest(2)}
	case "unreadable": // path why
		w.state[words[1]] = check{Unreadable, rest(2)}
	case "readable": // path
		delete(w.state, words[1])
	case "owner": // none, or line name dir [claimed] [over]
		if w.owner = nil; words[1] != "none" {
			w.owner = &Owner{Line: words[1], Name: words[2], Dir: words[3], Claimed: slices.Contains(words, "claimed"), Over: slices.Contains(words, "over")}
		}
	case "delete": // path
		w.found = slices.DeleteFunc(w.found, func(f Found) bool { return f.Path == words[1] })
		w.elsewhere = slices.DeleteFunc(w.elsewhere, func(s Snapshot) bool { return s.Path == words[1] })
	case "late": // id: an earlier run publishes it after the present one has begun
		w.publish(job.CheckpointID(number(t, words[1])))
	case "foreign": // path checkpoint: of another line
		id := job.ID{0xff}
		w.elsewhere = append(w.elsewhere, Snapshot{Path: words[1], Job: id, Checkpoint: job.CheckpointID(number(t, words[2])), Line: "other", Epoch: 3})
	case "move": // path path: the same snapshot at another place
		i := slices.IndexFunc(w.snapshots(), func(s Snapshot) bool { return s.Path == words[1] })
		moved := w.snapshots()[i]
		moved.Path = words[2]
		w.elsewhere = append(w.elsewhere, moved)
	case "lose": // the record
		w.record, w.recordDamage = nil, ""
	case "spoil": // the record, why
		w.record, w.recordDamage = nil, rest(1)
	case "record":
		return w.describe()
	default:
		t.Fatalf("unknown command %q", words)
	}
	return nil
}

func number(t *testing.T, word string) int {
	n, err := strconv.Atoi(word)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (w *world) sink(name, location string, can []string) {
	s := w.sinks[name]
	if s == nil {
		s = &worldSink{}
		w.sinks[name] = s
	}
	s.location = location
	s.unknown = slices.Contains(can, "unknown")
	switch {
	case slices.Contains(can, "automatic"):
		s.withdrawal = Automatic
	case slices.Contains(can, "on-request"):
		s.withdrawal = OnRequest
	default:
		s.withdrawal = Unable
	}
}

// start does what a driver does, and returns what it was asked for and what came of it.
func (w *world) start(t *testing.T, flags []string) []string {
	w.starts++
	w.now = w.now.Add(time.Minute)
	s := w.situation(t, flags)
	var out []string
	for range 20 {
		v := Decide(s)
		switch v.Do {
		case Verify:
			out = append(out, "verify "+v.Path)
			known := w.read(v.Path)
			s.Learn(v.Path, known.outcome, known.why)
		case Ask:
			out = append(out, fmt.Sprintf("ask the sinks after %d", v.After))
			s.Answered(w.answers(v.After))
		default:
			return append(out, w.perform(v)...)
		}
	}
	t.Fatalf("no end of questions: %q", out)
	return nil
}

func (w *world) situation(t *testing.T, flags []string) *Situation {
	s := &Situation{
		Name: "flights", Dir: "ck", Now: w.now,
		NewLine: fmt.Sprintf("line%d", w.starts), NewJob: job.ID{byte(w.starts)},
		Record: w.record, RecordDamage: w.recordDamage, Found: w.found,
		Sources: maps.Clone(w.sources), Sinks: map[string]string{}, FromOwner: w.owner,
	}
	if w.record != nil && w.record.Job().Claimed {
		s.Found = w.withOrigin(*w.record.Job().From)
	}
	for name, sink := range w.sinks {
		s.Sinks[name] = sink.location
	}
	for i := 0; i < len(flags); i++ {
		switch flags[i] {
		case "--fresh":
			s.Flags.Fresh = true
		case "--rewind":
			s.Flags.Rewind = true
		case "--withdraw":
			s.Flags.Withdraw = true
		case "--accept-duplicates":
			s.Flags.AcceptDuplicates = true
		case "--claim":
			s.Flags.Claim = true
		case "-s":
			i++
			s.Flags.From = w.load(s, flags[i])
		default:
			t.Fatalf("unknown flag %q", flags[i])
		}
	}
	return s
}

// withOrigin adds the claimed snapshot, if it is still there and is not among the line's own.
func (w *world) withOrigin(origin Snapshot) []Found {
	for _, s := range w.snapshots() {
		if s.Path == origin.Path && !slices.ContainsFunc(w.found, func(f Found) bool { return f.Path == origin.Path }) {
			return append(slices.Clone(w.found), Found{Snapshot: s})
		}
	}
	return w.found
}

// load reads the metadata of a snapshot; if there is none it tells the situation that this is proof.
func (w *world) load(s *Situation, path string) *Snapshot {
	for _, snap := range w.snapshots() {
		if snap.Path == path {
			return &snap
		}
	}
	s.Learn(path, Damaged, path+"/_metadata: does not exist")
	return &Snapshot{Path: path}
}

func (w *world) snapshots() []Snapshot {
	all := slices.Clone(w.elsewhere)
	for _, f := range w.found {
		all = append(all, f.Snapshot)
	}
	return all
}

func (w *world) read(path string) check {
	if known, ok := w.state[path]; ok {
		return known
	}
	if !slices.ContainsFunc(w.snapshots(), func(s Snapshot) bool { return s.Path == path }) {
		return check{Damaged, path + "/_metadata: does not exist"}
	}
	return check{outcome: Good}
}

func (w *world) answers(after job.CheckpointID) []SinkAnswer {
	var all []SinkAnswer
	for _, name := range slices.Sorted(maps.Keys(w.sinks)) {
		s := w.sinks[name]
		a := SinkAnswer{Name: name, Withdrawal: s.withdrawal}
		if s.unknown {
			a.Unknown = "the topic keeps no markers"
		} else {
			for _, id := range s.committed {
				if id > after {
					a.Committed = append(a.Committed, fmt.Sprintf("%s/part-%d.csv", s.location, id))
				}
			}
		}
		all = append(all, a)
	}
	return all
}

// perform carries a final verdict out and prints it.
func (w *world) perform(v Verdict) []string {
	var out []string
	for _, n := range v.Notes {
		out = append(out, "warn: "+n)
	}
	out = append(out, strings.Split(v.Text, "\n")...)
	if v.Do != Start && v.Do != Resume {
		return append(out, fmt.Sprintf("exit %d (%s)", v.Code, v.Code))
	}
	w.record, w.recordDamage = &v.Record, ""
	w.ids = IDs{}
	w.ids.Add(v.IDs)
	for _, name := range slices.Sorted(maps.Keys(w.sinks)) {
		s := w.sinks[name]
		if v.Fresh || s.line != v.Record.Line { // a sink refuses the output of another line, so somebody must have cleared it away
			s.committed, s.line = nil, v.Record.Line
		}
		if slices.Contains(v.Withdraw, name) {
			s.committed = slices.DeleteFunc(s.committed, func(id job.CheckpointID) bool { return id > v.Restore.Checkpoint })
		}
	}
	return append(out, run(v))
}

// run prints what the new run has.
func run(v Verdict) string {
	text := fmt.Sprintf("%s: line %s, epoch %d, job %d, ids %d..%d", v.Do, v.Record.Line, v.Record.Epoch, v.Record.Job().ID[0], v.IDs.From, v.IDs.To)
	if v.Fresh {
		text += ", earlier output aside"
	}
	if v.NoClaim {
		text += ", not claimed"
	}
	if v.Claim {
		text += ", claimed"
	}
	if len(v.Obsolete) > 0 {
		text += ", obsolete"
		for _, s := range v.Obsolete {
			text += fmt.Sprintf(" %d", s.Checkpoint)
		}
	}
	if len(v.Retained) > 0 {
		text += ", retains"
		for _, s := range v.Retained {
			text += fmt.Sprintf(" %d", s.Checkpoint)
		}
	}
	return text
}

func (w *world) checkpoint(t *testing.T) {
	id, ok := w.ids.Take()
	if !ok {
		next, ids := w.record.Reserve(Block)
		w.record = &next
		w.ids.Add(ids)
		id, _ = w.ids.Take()
	}
	if id == 0 {
		t.Fatal("no checkpoint id")
	}
	w.publish(id)
	if w.record.Completed == 0 {
		next := w.record.WithCompleted(id)
		w.record = &next
	}
	for _, s := range w.sinks {
		s.committed = append(s.committed, id)
	}
}

func (w *world) publish(id job.CheckpointID) {
	j := w.record.Job().ID
	w.found = append(w.found, Found{
		Snapshot: Snapshot{Path: fmt.Sprintf("ck/job%d/chk-%d", j[0], id), Job: j, Checkpoint: id, Line: w.record.Line, Epoch: w.record.Epoch},
		JobName:  "flights",
	})
}

func (w *world) stop(path string, drained bool) {
	id, _ := w.ids.Take()
	s := Snapshot{Path: path, Job: w.record.Job().ID, Checkpoint: id, Line: w.record.Line, Epoch: w.record.Epoch}
	w.elsewhere = append(w.elsewhere, s)
	next := w.record.WithStop(Stop{Savepoint: s, Drained: drained})
	w.record = &next
	for _, sink := range w.sinks {
		sink.committed = append(sink.committed, id)
	}
}

func (w *world) end(state, keep, reason string, stopped bool) []string {
	var newest job.CheckpointID
	for _, f := range w.found {
		if f.Job == w.record.Job().ID {
			newest = max(newest, f.Checkpoint)
		}
	}
	next := w.record.Ended(End{State: State(state), At: w.now, Reason: reason, Kept: keep == "keep", Stopped: stopped, Completed: newest})
	w.record = &next
	if keep == "drop" {
		w.found = slices.DeleteFunc(w.found, func(f Found) bool { return f.Job == w.record.Job().ID })
	}
	return nil
}

func (w *world) describe() []string {
	data, err := Encode(*w.record)
	if err != nil {
		return []string{err.Error()}
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}
