package linefile

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/weirstream/weir/storage"
)

// Holder is who has a line, for people: nothing is decided by it. It is the text of the lock file.
type Holder struct {
	PID   int       // of the process that has it, 0 if not known
	Host  string    // where that process runs, empty if not known
	Since time.Time // when it took the line, zero if not known
	Epoch int64     // of its run, 0 where a lock says who it is
}

// String names the process.
func (h Holder) String() string {
	if h.PID == 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d on %s, since %s", h.PID, h.Host, h.Since.UTC().Format(time.RFC3339))
}

func thisProcess(now time.Time) Holder {
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	return Holder{PID: os.Getpid(), Host: host, Since: now}
}

func (h Holder) text() string {
	text := fmt.Sprintf("pid %d\nhost %s\nsince %s\n", h.PID, h.Host, h.Since.UTC().Format(time.RFC3339))
	if h.Epoch != 0 {
		text += fmt.Sprintf("epoch %d\n", h.Epoch)
	}
	return text
}

// parseHolder reads what text has written. It may be in the middle of being written.
func parseHolder(text string) (h Holder) {
	var pid int
	for l := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSuffix(l, "\n"), " ")
		switch key {
		case "pid":
			pid, _ = strconv.Atoi(value)
		case "host":
			h.Host = value
		case "since":
			h.Since, _ = time.Parse(time.RFC3339, value)
		case "epoch":
			h.Epoch, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	if h.Host != "" && !h.Since.IsZero() {
		h.PID = pid
	}
	return h
}

func (f *File) lockPath() string { return join(f.dir, fileName(f.name)+lockSuffix) }

// Announce writes who has the line where a lock would say it, on stores that have none. It is called after the Put that took the line. If it
// fails, whoever loses the line is not told to whom.
func (f *File) Announce(ctx context.Context, now time.Time) error {
	h := thisProcess(now)
	h.Epoch = f.record.Epoch
	before, err := readAll(ctx, f.fs, f.lockPath())
	if err == nil {
		err = f.fs.Swap(ctx, f.lockPath(), before, []byte(h.text()))
	}
	if err != nil {
		return fmt.Errorf("job %q: write who has it: %w", f.name, err)
	}
	return nil
}

// Holder returns who has the line as Announce has written it.
func (f *File) Holder(ctx context.Context) (Holder, error) {
	return readHolder(ctx, f.fs, f.lockPath())
}

// TakeOver gives the line a new epoch, as a start of the job does, so that the process that has it, if there is one, can change nothing any more.
// The line must have a record.
func (f *File) TakeOver(ctx context.Context, now time.Time) error {
	r := *f.record
	r.Epoch++
	if err := f.Put(ctx, r); err != nil {
		return err
	}
	return f.Announce(ctx, now)
}

func readHolder(ctx context.Context, fs storage.FS, path string) (Holder, error) {
	text, err := readAll(ctx, fs, path)
	return parseHolder(string(text)), err
}
