package start

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/weirstream/weir/internal/cluster/committers"
	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/deal"
	"github.com/weirstream/weir/internal/cluster/enumerators"
	"github.com/weirstream/weir/internal/cluster/patience"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/byscheme"
	"github.com/weirstream/weir/internal/storage/copies"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/internal/storage/linefile"
	"github.com/weirstream/weir/sink"
)

// start finds out how a job begins.
type start struct {
	Options
	checkpoints config.Checkpointing
	entropy     storage.Entropy // of the directory of checkpoints
	lock        *linefile.Lock
	file        *linefile.File // nil if nothing is remembered
	shared      bool           // see Beginning.NoLock
	situation   line.Situation
	loaded      map[string]*snapshot.Metadata // by path
	sinks       committers.Set
	post        func(func())      // to the master
	news        *enumerators.News // that enumerators tell to the master, which completes it before it handles anything
	copies      *copies.Copies    // of state on this machine; nil if there are none
	found       copies.Found      // those that are good, of the snapshot that was verified last
	opened      enumerators.Set   // the enumerators, which the master takes over
	// onlyLook says that nothing may be changed, not even who holds the lock.
	onlyLook bool
}

// Beginning is how a job begins, and what was opened for it. Who is given one owns all of it, and calls Release in the end.
type Beginning struct {
	// Finished means that an earlier run has done it all. Then only Job and Text are set.
	Finished bool
	// Text says, for the user, how the job begins.
	Text string
	Job  job.ID
	Line sink.Line
	// Record is the line's as it was written for this start; IDs are the ids of checkpoints that it has reserved.
	Record line.Record
	IDs    line.Range
	// File keeps the record, nil if nothing is remembered.
	File *linefile.File
	// NoLock means that none keeps other processes out of the line: the record is what does.
	NoLock bool

	// Restore is what the job goes on from, nil for a new start. Restoration is the same for the coordinator.
	Restore     *snapshot.Metadata
	Restoration coordinator.Restoration
	// Claimed is the path of the snapshot that the present job id was started from and owns, empty if there is none.
	Claimed string

	Storage storage.Storage
	Merger  *storage.Merger // nil: files are not merged
	LogDir  string          // where the changelog is written; empty if it is kept in metadata, or there is none
	Copies  *copies.Copies  // of state on this machine; nil if there are none. See Options.CopiesLeft
	Found   copies.Found    // those of Restore that are good

	// Release gives the line free for other processes.
	Release func()

	// Recovery is what Sinks are to be told, which have not recovered. Sources are open.
	Recovery committers.Recovery
	Sinks    committers.Set
	Sources  enumerators.Set

	path     string // of Restore
	noClaim  bool
	claim    bool // Restore is to be marked as claimed
	retained []line.Snapshot
	obsolete []line.Snapshot
	shared   sharedFiles
}

// Begin finds out how a job begins and prepares it, or says why it does not: an *Error, or what has failed. Then nothing of it is left. What
// enumerators have to tell goes by news, whose Logger is that of the options.
func Begin(ctx context.Context, o Options, news enumerators.Env) (*Beginning, error) {
	s := &start{Options: o, checkpoints: o.Config.Checkpointing(), post: news.Post, news: news.News}
	b, err := s.begin(ctx)
	if err != nil {
		err = s.unlessTaken(ctx, err)
		s.giveUp()
		return nil, s.unlessStopped(ctx, err)
	}
	b.File, b.NoLock, b.Copies, b.Found = s.file, s.shared, s.copies, s.found
	b.Sinks, b.Sources, b.Release = s.sinks, s.opened, s.release
	b.Restoration = b.restoration()
	return b, nil
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
	s.opened.Close(s.Logger)
	if err := s.sinks.Close(); err != nil {
		s.Logger.Warn("close the sinks", "error", err)
	}
	s.release()
}

// unlessTaken returns why a start failed. Without a lock another process may go on with the line meanwhile, which commits results and deletes
// checkpoints: then what this one has found out is out of date, and the advice that follows from it would be wrong.
func (s *start) unlessTaken(ctx context.Context, err error) error {
	var refused *Error
	if s.file == nil || s.lock != nil || errors.As(err, &refused) && refused.Code != exitcode.Refused {
		return err
	}
	if now := s.file.Check(ctx); errors.Is(now, linefile.ErrTaken) {
		return taken(now)
	}
	return err
}

// taken refuses a start while which another process has gone on with the line.
func taken(err error) error {
	return refuse(exitcode.Held, "%v; it has recorded a checkpoint while this process began, which has changed nothing: the same command tries again", err)
}

// unlessStopped returns why a start failed. If that was told to stop, nothing stands against the next one, whatever the interrupted
// operation says.
func (s *start) unlessStopped(ctx context.Context, err error) error {
	var refused *Error
	if ctx.Err() == nil || errors.As(err, &refused) && refused.Code != exitcode.Refused {
		return err
	}
	return refuse(exitcode.Stopped, "job %q was stopped before it began; the same command starts it again (%v)", s.Name, err)
}

// begin decides how the job begins and prepares it: the record is written, nothing has recovered yet.
func (s *start) begin(ctx context.Context) (*Beginning, error) {
	verdict, err := s.find(ctx)
	if err != nil {
		return nil, err
	}
	for _, note := range verdict.Notes {
		s.Logger.Warn(note)
	}
	switch verdict.Do {
	case line.Refuse:
		return nil, &Error{verdict.Code, verdict.Text}
	case line.AlreadyFinished:
		b := &Beginning{Finished: true, Text: verdict.Text}
		if r := s.situation.Record; r != nil {
			b.Job = r.Job().ID
		}
		return b, nil
	}
	b := newBeginning(&verdict)
	s.useCopies(b.Job)
	if verdict.Do == line.Resume {
		if b.Restore, err = s.load(ctx, b.path); err != nil {
			return nil, err
		}
	}
	s.findShared(ctx, b)
	if b.Storage, err = s.newStorage(b.Job); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, b); err != nil {
		return nil, err
	}
	if err := s.makePlaces(ctx, b); err != nil {
		return nil, err
	}
	if err := s.takeOver(ctx, b); err != nil {
		return nil, err
	}
	b.Merger = s.newMerger(ctx, b.Storage)
	if s.file == nil && b.Restore == nil {
		b.Text = "new start: there is no checkpoint directory"
	}
	s.Logger.Info(b.Text)
	return b, nil
}

// newBeginning returns what a verdict says of how the job begins.
func newBeginning(v *line.Verdict) *Beginning {
	b := &Beginning{
		Text:     v.Text,
		Job:      v.Record.Job().ID,
		Line:     sink.Line{ID: v.Record.Line, Name: v.Record.Name, Epoch: v.Record.Epoch},
		Record:   v.Record,
		IDs:      v.IDs,
		Recovery: committers.Recovery{Fresh: v.Fresh, Withdraw: v.Withdraw},
		noClaim:  v.NoClaim,
		claim:    v.Claim,
		retained: v.Retained,
		obsolete: v.Obsolete,
	}
	if present := b.Record.Job(); present.Claimed {
		b.Claimed = present.From.Path
	}
	if v.Do == line.Resume {
		b.path = v.Restore.Path
	}
	return b
}

// restoration tells the coordinator what it begins with.
func (b *Beginning) restoration() coordinator.Restoration {
	r := coordinator.Restoration{LastID: b.IDs.From - 1}
	for _, s := range b.retained {
		_, damaged := b.Record.DamageOf(s.Checkpoint)
		r.Retained = append(r.Retained, coordinator.Retained{ID: s.Checkpoint, Pointer: s.Path, Damaged: damaged})
	}
	for _, s := range b.obsolete {
		r.Obsolete = append(r.Obsolete, coordinator.Retained{ID: s.Checkpoint, Pointer: s.Path})
	}
	r.Uses, r.Others, r.Unsure = b.shared.uses, b.shared.others, b.shared.unsure
	if b.Restore != nil {
		r.From = b.Restore.Checkpoint
		if b.noClaim {
			savepoint := b.Restore.Kind == snapshot.Savepoint
			r.Retained = append(r.Retained, coordinator.Retained{ID: r.From, Pointer: b.path, Foreign: true, Savepoint: savepoint})
		}
	}
	return r
}

// find finds out how the line goes on, if the job may begin at all.
func (s *start) find(ctx context.Context) (line.Verdict, error) {
	if err := checkLoops(s.Name, s.Plan, s.checkpoints); err != nil {
		return line.Verdict{}, err
	}
	s.loaded = map[string]*snapshot.Metadata{}
	if err := s.remember(ctx); err != nil {
		return line.Verdict{}, err
	}
	return s.decide(ctx)
}

// prepare finds out whether the job can begin, and changes nothing: the state fits its steps, the sinks will be able to recover, the sources
// find what they read.
func (s *start) prepare(ctx context.Context, b *Beginning) error {
	restored, err := s.dealOut(ctx, b.Restore)
	if err != nil {
		return err
	}
	if err := s.checkSinks(ctx, b); err != nil {
		return err
	}
	s.opened, err = enumerators.Start(s.Plan, restored, enumerators.Env{Logger: s.Logger, Post: s.post, News: s.news})
	if err != nil {
		return refuse(exitcode.Refused, "job %q: %v", s.Name, err)
	}
	return nil
}

// checkSinks finds out whether the sinks will be able to recover, and changes nothing. It needs of b what a verdict says, Restore and Storage.
func (s *start) checkSinks(ctx context.Context, b *Beginning) error {
	if err := s.openSinks(ctx, b.Line); err != nil {
		return err
	}
	if err := s.noMixture(ctx, b); err != nil {
		return err
	}
	open := func(ctx context.Context, stream snapshot.Stream) (operator.StreamReader, error) {
		return b.Storage.OpenStream(ctx, stream)
	}
	if err := s.sinks.Check(ctx, b.Restore, b.Recovery, open); err != nil {
		return refuse(exitcode.Refused, "job %q: %v", s.Name, err)
	}
	return nil
}

// noMixture refuses to add to the output of an earlier run that nothing is remembered of.
func (s *start) noMixture(ctx context.Context, b *Beginning) error {
	if s.file != nil || b.Recovery.Fresh {
		return nil
	}
	step, earlier, err := s.sinks.Earlier(ctx)
	switch {
	case err != nil:
		return refuse(exitcode.Refused, "%v", err)
	case step != "":
		return s.mixture(step, earlier, b.Restore != nil)
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

// makePlaces makes the directories of the job, which proves that checkpoints and their changelog can be written to.
func (s *start) makePlaces(ctx context.Context, b *Beginning) (err error) {
	if s.file != nil {
		if err := patience.Do(ctx, s.Pause, func() error { return b.Storage.InitJob(ctx) }); err != nil {
			return refuse(exitcode.Refused, "job %q: the checkpoint directory cannot be used: %v", s.Name, err)
		}
	}
	if b.LogDir, err = s.initLog(ctx, b.Storage); err != nil {
		return refuse(exitcode.Refused, "job %q: the directory of the changelog cannot be used: %v", s.Name, err)
	}
	return nil
}

// takeOver takes the line over: it writes the record, and then the claims that the record tells of. Each write can be repeated after one that has
// failed or only seems to have.
func (s *start) takeOver(ctx context.Context, b *Beginning) error {
	if s.file == nil {
		return nil
	}
	if err := s.recordPlaces(&b.Record); err != nil {
		return refuse(exitcode.Refused, "job %q: %v", s.Name, err)
	}
	err := patience.Do(ctx, s.Pause, func() error { return s.file.Put(ctx, b.Record) })
	switch {
	case errors.Is(err, linefile.ErrTaken):
		return taken(err)
	case err != nil:
		return refuse(exitcode.Refused, "%v", err)
	}
	if s.shared && s.lock == nil { // whoever has a lock has written so
		if err := s.file.Announce(ctx, s.Now()); err != nil {
			s.Logger.Warn("who runs the job is not said where its checkpoints are", "error", err)
		}
	}
	if b.claim {
		return s.claim(ctx, b)
	}
	return nil
}

// claim leaves the marks of the line at the snapshot that it goes on from and owns. The record says so already: a start that has failed to leave them
// is repeated by the next one.
func (s *start) claim(ctx context.Context, b *Beginning) error {
	if err := s.markShared(ctx, b); err != nil {
		return refuse(exitcode.Refused, "job %q: %v", s.Name, err)
	}
	claim := func() error {
		return linefile.Claim(ctx, s.FS, *b.Record.Job().From, b.Record, s.checkpoints.Dir)
	}
	if err := patience.Do(ctx, s.Pause, claim); err != nil {
		return refuse(exitcode.Refused, "job %q: %v; if another job has claimed it, start with --claim-mode NO_CLAIM", s.Name, err)
	}
	return nil
}

// remember takes the lock of the line and reads its record.
func (s *start) remember(ctx context.Context) (err error) {
	if err := s.findDir(ctx); err != nil {
		return err
	}
	s.situation = s.known()
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
	if s.file, err = patience.Retry(ctx, s.Pause, func() (*linefile.File, error) {
		return linefile.Open(ctx, s.FS, s.checkpoints.Dir, s.Name)
	}); err != nil {
		return refuse(exitcode.Refused, "%v", err)
	}
	s.situation.Record = s.file.Record()
	if damage := s.file.Damage(); damage != nil {
		s.situation.RecordDamage = damage.Error()
	}
	if s.situation.Found, err = patience.Retry(ctx, s.Pause, func() ([]line.Found, error) { return s.file.Survey(ctx, s.look) }); err != nil {
		return refuse(exitcode.Refused, "job %q: %v", s.Name, err)
	}
	if err := s.alone(ctx); err != nil {
		return err
	}
	s.findClaimed(ctx)
	return s.nameFrom(ctx)
}

// known is the situation as far as no file tells it.
func (s *start) known() line.Situation {
	k := line.Situation{
		Name:    s.Name,
		Dir:     s.checkpoints.Dir,
		Now:     s.Now(),
		NewLine: s.newLine(),
		NewJob:  s.newJob(),
		Flags: line.Flags{
			Fresh: s.Flags.Fresh, Rewind: s.Flags.Rewind, Withdraw: s.Flags.Withdraw, AcceptDuplicates: s.Flags.AcceptDuplicates,
		},
	}
	k.Sources, k.Sinks = locations(s.Plan)
	return k
}

// findDir takes the marker for random characters out of the directory of checkpoints, if there is one in it, and makes its path full: metadata
// name the files that checkpoints share by it, and are read by processes that run elsewhere.
func (s *start) findDir(ctx context.Context) (err error) {
	if s.checkpoints.Dir == "" {
		return nil
	}
	if s.checkpoints.Dir, s.entropy, err = storage.EntropyOf(ctx, s.FS, s.checkpoints.Dir); err == nil {
		s.checkpoints.Dir, err = byscheme.Abs(s.checkpoints.Dir)
	}
	if err != nil {
		return refuse(exitcode.Refused, "job %q: %v", s.Name, err)
	}
	return nil
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
	if s.onlyLook || s.World != nil || s.shared { // a simulated process has its world to itself
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
	return line.Found{Snapshot: Named(path, m), JobName: m.JobName}, nil
}

// Named returns what lines remember of a snapshot that lies at path.
func Named(path string, m *snapshot.Metadata) line.Snapshot {
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
	from := Named(dir, m)
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
	owner, err := patience.Retry(ctx, s.Pause, func() (*line.Owner, error) { return linefile.Owner(ctx, s.FS, from, savepoint) })
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
func (s *start) dealOut(ctx context.Context, meta *snapshot.Metadata) (deal.Restored, error) {
	if meta == nil {
		return deal.Restored{}, nil
	}
	p, err := s.plan(ctx, meta)
	if err != nil {
		return deal.Restored{}, err
	}
	if err := p.Err(); err != nil {
		return deal.Restored{}, refuse(exitcode.Refused, "job %q: %v\nThe job was not started. Put right what is named above and run the same command again.", s.Name, err)
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
	return deal.Adopt(meta, s.Plan, a), nil
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
			answers, err := s.ask(ctx, v)
			if err != nil {
				return v, err
			}
			s.situation.Answered(answers)
		default:
			return v, nil
		}
	}
}

// ask asks the sinks what they have committed after the checkpoint that the line might go back to.
func (s *start) ask(ctx context.Context, v line.Verdict) ([]line.SinkAnswer, error) {
	if err := s.openSinks(ctx, sink.Line{ID: v.Record.Line, Name: v.Record.Name, Epoch: v.Record.Epoch}); err != nil {
		return nil, err
	}
	answers, err := s.sinks.Ask(ctx, v.After)
	if err != nil {
		return nil, refuse(exitcode.Refused, "%v", err)
	}
	return answers, nil
}

// openSinks opens the committers, unless they are.
func (s *start) openSinks(ctx context.Context, l sink.Line) error {
	err := s.sinks.Open(ctx, s.Plan, committers.Env{CommitterEnv: sink.CommitterEnv{Line: l, Logger: s.Logger, Now: s.Now}, Pause: s.Pause})
	if err != nil {
		return refuse(exitcode.Refused, "%v", err)
	}
	return nil
}

// verify reads a checkpoint through.
func (s *start) verify(ctx context.Context, path string) (line.Outcome, string) {
	err := patience.Do(ctx, s.Pause, func() error {
		m, err := s.load(ctx, path)
		if err == nil {
			err = s.verifyAll(ctx, m)
		}
		return err
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

// newStorage returns the place for the checkpoints of this run.
func (s *start) newStorage(id job.ID) (place storage.Storage, err error) {
	c := s.checkpoints
	if c.Storage == config.FilesystemStorage {
		place, err = storage.NewFiles(storage.FilesOptions{
			FS: s.FS, Dir: c.Dir, Flat: c.Flat, Job: id, InlineThreshold: c.InlineThreshold, WriteBuffer: c.WriteBuffer, UploadRate: c.UploadRate, NewName: s.fileNames(), Entropy: s.entropy, Retries: s.Retries(),
		})
	} else {
		place, err = storage.NewMemory(storage.MemoryOptions{Job: id, MaxStream: c.MaxStateSize, FS: s.FS, Dir: c.Dir, Flat: c.Flat})
	}
	if err != nil {
		return nil, refuse(exitcode.Usage, "%v", err)
	}
	return place, nil
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
