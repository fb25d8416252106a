package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/byscheme"
	"github.com/weirstream/weir/internal/storage/copies"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/internal/storage/linefile"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
	publicstorage "github.com/weirstream/weir/storage"
)

// start finds out how a job begins.
type start struct {
	Options
	checkpoints config.Checkpointing
	lock        *linefile.Lock
	file        *linefile.File // nil if nothing is remembered
	shared      bool           // see master
	situation   line.Situation
	loaded      map[string]*snapshot.Metadata // by path
	sinks       sinks
	queue       queue
	// news brings what enumerators tell to the master; it is set before anything in the queue is handled.
	news   news
	copies *copies.Copies // of state on this machine; nil if there are none
	found  copies.Found   // those that are good, of the snapshot that was verified last
	opened sources        // the enumerators, which the master takes over
	// onlyLook says that nothing may be changed, not even who holds the lock.
	onlyLook bool
}

// beginning is how a job begins.
type beginning struct {
	finished  bool
	text      string
	job       job.ID
	line      sink.Line
	record    line.Record
	ids       line.Range
	storage   storage.Storage
	restore   *snapshot.Metadata // nil for a new start
	path      string             // of restore
	noClaim   bool
	claim     bool   // restore is to be marked as claimed
	claimed   string // path of the snapshot that the present job id was started from and owns, empty if there is none
	retained  []line.Snapshot
	obsolete  []line.Snapshot
	recovery  recovery
	shared    sharedFiles
	merger    *storage.Merger     // nil: files are not merged
	changelog *operator.Changelog // nil: changes of keyed state are not logged
}

// recovery is what the sinks are told before a run.
type recovery struct {
	fresh    bool
	withdraw []string // names of sinks
}

func (s *start) release() {
	if s.lock != nil {
		if err := s.lock.Release(); err != nil {
			s.Logger.Warn("release the lock of the job", "error", err)
		}
	}
}

// giveUp closes what was opened for a job that does not start.
func (s *start) giveUp() {
	s.opened.close(s.Logger)
	if err := s.sinks.close(); err != nil {
		s.Logger.Warn("close the sinks", "error", err)
	}
	s.release()
}

// begin decides how the job begins and prepares it: the record is written, nothing has recovered yet.
func (s *start) begin(ctx context.Context) (*beginning, error) {
	if err := checkLoops(s.Name, s.Plan, s.checkpoints); err != nil {
		return nil, err
	}
	verdict, err := s.find(ctx)
	if err != nil {
		return nil, err
	}
	for _, note := range verdict.Notes {
		s.Logger.Warn(note)
	}
	if verdict.Do == line.Refuse {
		return nil, &StartError{verdict.Code, verdict.Text}
	}
	b := &beginning{
		finished: verdict.Do == line.AlreadyFinished,
		text:     verdict.Text,
		record:   verdict.Record,
		ids:      verdict.IDs,
		noClaim:  verdict.NoClaim,
		claim:    verdict.Claim,
		retained: verdict.Retained,
		obsolete: verdict.Obsolete,
		recovery: recovery{verdict.Fresh, verdict.Withdraw},
	}
	if b.finished {
		if r := s.situation.Record; r != nil {
			b.job = r.Job().ID
		}
		return b, nil
	}
	b.job = b.record.Job().ID
	s.useCopies(b.job)
	if present := b.record.Job(); present.Claimed {
		b.claimed = present.From.Path
	}
	b.line = sink.Line{ID: b.record.Line, Name: b.record.Name, Epoch: b.record.Epoch}
	if verdict.Do == line.Resume {
		b.path = verdict.Restore.Path
		if b.restore, err = s.load(ctx, b.path); err != nil {
			return nil, err
		}
	}
	s.findShared(ctx, b)
	if b.storage, err = s.newStorage(b.job); err != nil {
		return nil, refuse(exitcode.Usage, "%v", err)
	}
	if err := s.prepare(ctx, b); err != nil {
		return nil, err
	}
	if err := s.firstWrites(ctx, b); err != nil {
		return nil, err
	}
	b.merger = s.newMerger(ctx, b.storage)
	if b.changelog, err = s.newChangelog(ctx, b.storage); err != nil {
		return nil, refuse(exitcode.Refused, "job %q: %v", s.Name, err)
	}
	if s.file == nil && b.restore == nil {
		b.text = "new start: there is no checkpoint directory"
	}
	s.Logger.Info(b.text)
	return b, nil
}

// find finds out how the line goes on.
func (s *start) find(ctx context.Context) (line.Verdict, error) {
	s.loaded = map[string]*snapshot.Metadata{}
	if err := s.remember(ctx); err != nil {
		return line.Verdict{}, err
	}
	return s.decide(ctx)
}

// prepare finds out whether the job can begin, and changes nothing: the state fits its steps, the sinks will be able to recover, the sources
// find what they read.
func (s *start) prepare(ctx context.Context, b *beginning) error {
	restored, err := s.dealOut(ctx, b.restore)
	if err != nil {
		return err
	}
	if err := s.sinks.open(ctx, &s.Options, b.line); err != nil {
		return err
	}
	open := func(ctx context.Context, stream snapshot.Stream) (operator.StreamReader, error) {
		return b.storage.OpenStream(ctx, stream)
	}
	if err := s.noMixture(ctx, b); err != nil {
		return err
	}
	if err := s.sinks.check(ctx, b.restore, b.recovery, open); err != nil {
		return refuse(exitcode.Refused, "job %q: %v", s.Name, err)
	}
	s.opened, err = newSources(s.Plan, restored, s.Logger, s.queue.add, &s.news)
	if err != nil {
		return refuse(exitcode.Refused, "job %q: %v", s.Name, err)
	}
	return nil
}

// noMixture refuses to add to the output of an earlier run that nothing is remembered of.
func (s *start) noMixture(ctx context.Context, b *beginning) error {
	if s.file != nil || b.recovery.fresh {
		return nil
	}
	for _, n := range s.sinks.nodes {
		earlier, err := s.sinks.committers[n.ID()].CommittedAfter(ctx, 0)
		if err != nil && !errors.Is(err, sink.ErrUnknown) {
			return refuse(exitcode.Refused, "sink %q: find out what earlier runs have committed: %v", n.Name, err)
		}
		if len(earlier) > 0 {
			return s.mixture(n.Name, earlier[0], b.restore != nil)
		}
	}
	return nil
}

// mixture says that a sink holds output already, and what can be done: with -s there is no fresh start.
func (s *start) mixture(step, earlier string, named bool) error {
	why := fmt.Sprintf("job %q: sink %q holds the output of an earlier run (%s), and without a checkpoint directory nobody knows how this run goes on from it.",
		s.Name, step, earlier)
	if !named {
		why += "\n  --fresh                                        moves that output aside and starts anew"
	}
	return refuse(exitcode.Refused, "%s\n  another output, or a checkpoint directory (-D execution.checkpointing.dir=...), keeps the runs apart", why)
}

// firstWrites proves that the place for checkpoints can be written to, and takes the line over. Each write can be repeated after one that has
// failed or only seems to have.
func (s *start) firstWrites(ctx context.Context, b *beginning) error {
	if s.file == nil {
		return nil
	}
	if err := s.retry(ctx, b.storage.InitJob); err != nil {
		return refuse(exitcode.Refused, "job %q: the checkpoint directory cannot be used: %v", s.Name, err)
	}
	err := s.retry(ctx, func(ctx context.Context) error { return s.file.Put(ctx, b.record) })
	switch {
	case errors.Is(err, linefile.ErrTaken):
		return refuse(exitcode.Held, "%v; it has recorded a checkpoint while this process began, which has changed nothing: the same command tries again", err)
	case err != nil:
		return refuse(exitcode.Refused, "%v", err)
	}
	if s.shared && s.lock == nil { // whoever has a lock has written so
		if err := s.file.Announce(ctx, s.Now()); err != nil {
			s.Logger.Warn("who runs the job is not said where its checkpoints are", "error", err)
		}
	}
	if b.claim {
		if err := s.markShared(ctx, b); err != nil {
			return refuse(exitcode.Refused, "job %q: %v", s.Name, err)
		}
		claim := func(ctx context.Context) error {
			return linefile.Claim(ctx, s.FS, *b.record.Job().From, b.record, s.checkpoints.Dir)
		}
		if err := s.retry(ctx, claim); err != nil {
			return refuse(exitcode.Refused, "job %q: %v; if another job has claimed it, start with --claim-mode NO_CLAIM", s.Name, err)
		}
	}
	return nil
}

// remember takes the lock of the line and reads its record.
func (s *start) remember(ctx context.Context) (err error) {
	s.situation = line.Situation{
		Name:    s.Name,
		Dir:     s.checkpoints.Dir,
		Now:     s.Now(),
		NewLine: s.newLine(),
		NewJob:  s.newJob(),
		Flags: line.Flags{
			Fresh: s.Flags.Fresh, Rewind: s.Flags.Rewind, Withdraw: s.Flags.Withdraw, AcceptDuplicates: s.Flags.AcceptDuplicates,
		},
	}
	s.situation.Sources, s.situation.Sinks = locations(s.Plan)
	if s.checkpoints.Dir == "" {
		s.situation.NewLine = lineWithoutDir(s.Name)
		return s.nameFrom(ctx)
	}
	s.shared = !byscheme.IsLocal(s.checkpoints.Dir)
	if err := s.takeLock(); err != nil {
		return err
	}
	if s.lock != nil {
		if err := s.tryMount(); err != nil {
			return err
		}
	}
	if s.file, err = retry(ctx, s.pause, func() (*linefile.File, error) {
		return linefile.Open(ctx, s.FS, s.checkpoints.Dir, s.Name)
	}); err != nil {
		return refuse(exitcode.Refused, "%v", err)
	}
	s.situation.Record = s.file.Record()
	if damage := s.file.Damage(); damage != nil {
		s.situation.RecordDamage = damage.Error()
	}
	if s.situation.Found, err = retry(ctx, s.pause, func() ([]line.Found, error) { return s.file.Survey(ctx, s.look) }); err != nil {
		return refuse(exitcode.Refused, "job %q: %v", s.Name, err)
	}
	if err := s.alone(ctx); err != nil {
		return err
	}
	s.findClaimed(ctx)
	return s.nameFrom(ctx)
}

// alone refuses to keep checkpoints directly in a directory in which anything else lies, and to start beside a job that does.
func (s *start) alone(ctx context.Context) (err error) {
	const flat = "execution.checkpointing.create-subdir=false"
	if !s.checkpoints.Flat {
		other, err := s.file.OthersDirectly(ctx, s.look)
		if err == nil && other != "" {
			err = fmt.Errorf("job %q keeps its checkpoints directly in %s (%s), and would not start again beside this one: give this job another directory",
				other, s.checkpoints.Dir, flat)
		}
		if err != nil {
			return refuse(exitcode.Refused, "job %q: %v", s.Name, err)
		}
		return nil
	}
	strangers, err := s.file.Strangers(ctx, s.situation.Found)
	if err == nil && len(strangers) > 0 {
		const most = 5
		more := ""
		if n := len(strangers) - most; n > 0 {
			strangers, more = strangers[:most], fmt.Sprintf(" and %d more", n)
		}
		err = fmt.Errorf("%s keeps checkpoints directly in %s, which then must be this job's alone, but there lie also %s%s. "+
			"Give the job a directory of its own, or leave the option out", flat, s.checkpoints.Dir, strings.Join(strangers, ", "), more)
	}
	if err == nil {
		s.situation.Highest, err = s.file.Directly(ctx)
	}
	if err != nil {
		return refuse(exitcode.Refused, "job %q: %v", s.Name, err)
	}
	return nil
}

// takeLock keeps other processes out.
func (s *start) takeLock() (err error) {
	if s.onlyLook || s.Scheduler != nil || s.shared { // a simulated process has its world to itself
		return nil
	}
	if s.lock, err = linefile.TakeLock(s.checkpoints.Dir, s.Name, s.Now()); err == nil {
		return nil
	}
	var held *linefile.HeldError
	if errors.As(err, &held) {
		return refuse(exitcode.Held, "%v", err)
	}
	return refuse(exitcode.Refused, "%v", err)
}

// tryMount finds out what the file system of a directory keeps that other machines may have too. Its lock may not keep them out, so the record
// of the line is followed as on a store without locks.
func (s *start) tryMount() error {
	m := fs.MountOf(s.checkpoints.Dir)
	if !m.Network {
		return nil
	}
	s.shared = true
	found, err := fs.Try(s.checkpoints.Dir)
	if err != nil {
		return refuse(exitcode.Refused, "job %q: try out the file system (%s) of %s: %v", s.Name, m.Kind, s.checkpoints.Dir, err)
	}
	for _, f := range found {
		if f.Fatal {
			return refuse(exitcode.Refused, "job %q: checkpoints are not safe in %s (%s): %s", s.Name, s.checkpoints.Dir, m.Kind, f)
		}
		s.Logger.Warn("the file system of the checkpoints does not keep everything", "directory", s.checkpoints.Dir, "kind", m.Kind, "what", f.String())
	}
	if m.LocalLocks {
		s.Logger.Warn("the checkpoints are on a file system that other machines may have too, and it is mounted with locks of this machine alone: "+
			"make sure that no other machine starts this job meanwhile, or mount it without nolock, local_lock and nobrl", "directory", s.checkpoints.Dir, "kind", m.Kind)
	}
	return nil
}

// findClaimed adds the snapshot that the job was started from and owns to what was found, unless it is gone. If it cannot be read it is there
// as far as anybody knows.
func (s *start) findClaimed(ctx context.Context) {
	if s.situation.Record == nil || !s.situation.Record.Job().Claimed {
		return
	}
	from := *s.situation.Record.Job().From
	if _, err := s.load(ctx, from.Path); err != nil && storage.Classify(err) == storage.Absent {
		return
	}
	for _, f := range s.situation.Found {
		if f.Path == from.Path {
			return // it lies among the line's own
		}
	}
	s.situation.Found = append(s.situation.Found, line.Found{Snapshot: from})
}

// lineWithoutDir names the line of a job that has no checkpoint directory to remember it in. It is the same in every run, so that sinks
// know the output of earlier runs as the job's own.
func lineWithoutDir(name string) string {
	return job.OperatorIDOf("a line without a checkpoint directory: " + name).String()
}

// look reads who has taken a checkpoint.
func (s *start) look(ctx context.Context, path string) (line.Found, error) {
	m, err := s.load(ctx, path)
	if err != nil {
		return line.Found{}, err
	}
	return line.Found{Snapshot: named(path, m), JobName: m.JobName}, nil
}

func named(path string, m *snapshot.Metadata) line.Snapshot {
	return line.Snapshot{Path: path, Job: m.Job, Checkpoint: m.Checkpoint, Line: m.Line, Epoch: m.Epoch}
}

// nameFrom reads what the user has named with -s.
func (s *start) nameFrom(ctx context.Context) error {
	path := s.Config.Recovery().Path
	if path == "" {
		return nil
	}
	path, err := byscheme.Abs(path) // the record keeps it, and the next run may begin elsewhere
	if err != nil {
		return refuse(exitcode.Usage, "-s %s: %v", path, err)
	}
	dir := storage.SnapshotDir(path)
	m, err := s.load(ctx, dir)
	if err != nil {
		s.situation.Learn(dir, outcomeOf(err), err.Error())
		s.situation.Flags.From = &line.Snapshot{Path: dir}
		return nil
	}
	from := named(dir, m)
	s.situation.Flags.From = &from
	return s.nameClaim(ctx, from, m.Kind == snapshot.Savepoint)
}

// nameClaim finds out what stands against claiming the snapshot named with -s, if that is what the user wants.
func (s *start) nameClaim(ctx context.Context, from line.Snapshot, savepoint bool) error {
	if s.Config.Recovery().ClaimMode != config.Claim {
		return nil
	}
	if s.checkpoints.Dir == "" {
		return refuse(exitcode.Usage, "-s %s cannot be claimed without a checkpoint directory: nothing would remember that it is this job's. "+
			"Set execution.checkpointing.dir, or leave it to its owner with --claim-mode NO_CLAIM", from.Path)
	}
	s.situation.Flags.Claim = true
	owner, err := retry(ctx, s.pause, func() (*line.Owner, error) { return linefile.Owner(ctx, s.FS, from, savepoint) })
	var damage *linefile.DamageError
	if errors.As(err, &damage) {
		err = nil // naming the snapshot with -s is the way on from a damaged record
	}
	if err != nil {
		return refuse(exitcode.Refused, "job %q: %v", s.Name, err)
	}
	s.situation.FromOwner = owner
	return nil
}

// dealOut says what each operator of a first attempt begins with.
func (s *start) dealOut(ctx context.Context, meta *snapshot.Metadata) (restored, error) {
	if meta == nil {
		return newRestored(nil, nil), nil
	}
	p, err := s.plan(ctx, meta)
	if err != nil {
		return restored{}, err
	}
	if err := p.Err(); err != nil {
		return restored{}, refuse(exitcode.Refused, "job %q: %v\nThe job was not started. Put right what is named above and run the same command again.", s.Name, err)
	}
	a := p.Assignment()
	for _, d := range a.Dropped {
		s.Logger.Warn("state is left behind: no step of this job takes it", "step", d.Name, "id", d.ID, "uncommitted", d.Uncommitted)
	}
	for _, step := range p.Steps {
		for _, state := range step.Dropped() {
			s.Logger.Warn("state is left behind: its step does not declare it any more", "step", step.Name, "state", state.Name, "kind", state.Kind)
		}
	}
	return adopt(meta, s.Plan, a), nil
}

// decide asks what to do until it is clear.
func (s *start) decide(ctx context.Context) (line.Verdict, error) {
	for {
		v := line.Decide(&s.situation)
		switch v.Do {
		case line.Verify:
			outcome, why := s.verify(ctx, v.Path)
			s.situation.Learn(v.Path, outcome, why)
		case line.Ask:
			answers, err := s.sinks.ask(ctx, s, v)
			if err != nil {
				return v, err
			}
			s.situation.Answered(answers)
		default:
			return v, nil
		}
	}
}

// verify reads a checkpoint through.
func (s *start) verify(ctx context.Context, path string) (line.Outcome, string) {
	_, err := retry(ctx, s.pause, func() (struct{}, error) {
		m, err := s.load(ctx, path)
		if err == nil {
			err = s.verifyAll(ctx, m)
		}
		return struct{}{}, err
	})
	if err == nil {
		return line.Good, ""
	}
	return outcomeOf(err), err.Error()
}

func (s *start) load(ctx context.Context, path string) (*snapshot.Metadata, error) {
	if m := s.loaded[path]; m != nil {
		return m, nil
	}
	m, err := storage.Load(ctx, s.FS, path)
	if err == nil {
		s.loaded[path] = m
	}
	return m, err
}

// outcomeOf tells proof of damage from a failure that proves nothing.
func outcomeOf(err error) line.Outcome {
	switch storage.Classify(err) {
	case storage.Absent, storage.Corrupt:
		return line.Damaged
	}
	return line.Unreadable
}

// pauses are waited between attempts at something that may yet succeed.
var pauses = []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second}

// retry tries again what has failed without proof that it must. pause waits in between, see Options.pause.
func retry[T any](ctx context.Context, pause func(context.Context, time.Duration), f func() (T, error)) (T, error) {
	for _, d := range pauses {
		v, err := f()
		if err == nil || proves(err) {
			return v, err
		}
		if pause(ctx, d); ctx.Err() != nil {
			return v, err
		}
	}
	return f()
}

// retry is retry for what has no result.
func (o *Options) retry(ctx context.Context, f func(context.Context) error) error {
	_, err := retry(ctx, o.pause, func() (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

// proves reports whether an error tells that another attempt must fail too. Others may be of an answer that was lost, or of a place that is
// out of reach for a moment.
func proves(err error) bool {
	var panicked *panicError
	return storage.Classify(err) != storage.Unknown || errors.Is(err, publicstorage.ErrExist) || errors.Is(err, linefile.ErrTaken) ||
		errors.Is(err, sink.ErrCannotWithdraw) || source.IsPermanent(err) || errors.As(err, &panicked)
}

// newStorage returns the place for the checkpoints of this run.
func (s *start) newStorage(id job.ID) (storage.Storage, error) {
	c := s.checkpoints
	if c.Storage == config.FilesystemStorage {
		return storage.NewFiles(storage.FilesOptions{
			FS: s.FS, Dir: c.Dir, Flat: c.Flat, Job: id, InlineThreshold: c.InlineThreshold, WriteBuffer: c.WriteBuffer, UploadRate: c.UploadRate, NewName: s.fileNames(),
		})
	}
	return storage.NewMemory(storage.MemoryOptions{Job: id, MaxStream: c.MaxStateSize, FS: s.FS, Dir: c.Dir, Flat: c.Flat})
}

// guarantees says what each sink of a plan gives, and why not more.
func guarantees(p *graph.Plan, c config.Checkpointing) []slog.Attr {
	var attrs []slog.Attr
	for _, v := range p.Vertices {
		for _, n := range v.Nodes {
			if n.Kind == graph.Sink {
				attrs = append(attrs, slog.String(n.Name, guarantee(p, n, c)))
			}
		}
	}
	return attrs
}

func guarantee(p *graph.Plan, n *graph.Node, c config.Checkpointing) string {
	switch {
	case stepOf(n).Committer == nil:
		return "at-least-once: the sink does not commit"
	case !c.On():
		return "at-least-once: no checkpoints"
	case len(p.Loops) > 0 && c.Loops == config.LoseInLoops:
		return "not even at-least-once: what is in a loop at a checkpoint is lost in a restore"
	case c.Mode == config.AtLeastOnce:
		return "at-least-once: checkpoints in AT_LEAST_ONCE mode"
	}
	return "exactly-once"
}

// checkLoops refuses checkpoints of a job with a loop, unless they are forced.
func checkLoops(name string, p *graph.Plan, c config.Checkpointing) error {
	if len(p.Loops) == 0 || !c.On() || c.Loops != config.RefuseLoops {
		return nil
	}
	return refuse(exitcode.Usage, `job %q: checkpoints are on, and %q is a loop, which needs a decision about the records that go round in it:
  -D weir.checkpointing.loops=FORCE              they are part of the checkpoint, in code checkpoint.Loops(checkpoint.ForceLoops)
  -D weir.checkpointing.loops=FORCE_WITH_LOSS    they are lost in a restore, as with Flink's force flag
  neither execution.checkpointing.interval nor .dir    no checkpoints`, name, p.Loops[0].Head.Name)
}

// survival says what remains of the checkpoints, and what does not.
func survival(c config.Checkpointing, st storage.Storage) string {
	switch {
	case !c.On():
		return "no checkpoints: a failure begins again from nothing"
	case c.Interval == 0:
		return fmt.Sprintf("checkpoints on request and at the end of the data in %s", st)
	case !st.Survives():
		return fmt.Sprintf("checkpoints every %v in memory: nothing survives this process", c.Interval)
	case c.Retention == config.NoExternalized:
		return fmt.Sprintf("checkpoints every %v in %s: deleted when the job fails for good or is cancelled", c.Interval, st)
	}
	return fmt.Sprintf("checkpoints every %v in %s", c.Interval, st)
}
