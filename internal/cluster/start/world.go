package start

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/linefile"
)

// World is the time and the chance of a simulated process.
type World interface {
	// Sleep lets d pass for everybody.
	Sleep(d time.Duration)
	// Random returns a number from 0 to 1.
	Random() float64
}

// Pause returns when d has passed or ctx is done.
func (o *Options) Pause(ctx context.Context, d time.Duration) {
	if o.World != nil {
		o.World.Sleep(d)
		return
	}
	storage.Pause(ctx, d)
}

// newLine returns the id of a line that may begin.
func (o *Options) newLine() string {
	if o.World == nil {
		return linefile.NewID()
	}
	return hex.EncodeToString(o.drawBytes())
}

// newJob returns the id of a job that may begin.
func (o *Options) newJob() job.ID {
	if o.World == nil {
		return job.NewID()
	}
	return job.ID(o.drawBytes())
}

// Retries returns how storage is asked again. A simulated process has enough chance of its own: there all pauses are as long as they are on average.
func (o *Options) Retries() storage.Retries {
	c := o.Config.Checkpointing().Retries
	r := storage.Retries{
		Most: c.Most, Backoff: c.Backoff, Longest: c.Longest, Memory: c.Memory, Pause: o.Pause,
		Note: func(err error, attempt int, pause time.Duration) {
			o.Logger.Warn("what is written for a checkpoint has failed and is tried again", "error", err, "attempt", attempt, "pause", pause)
		},
	}
	if o.World != nil {
		r.Random = func() float64 { return 0.5 }
	}
	return r
}

// fileNames returns what makes names for files, nil for random ones.
func (o *Options) fileNames() func() string {
	if o.World == nil {
		return nil
	}
	return func() string { return hex.EncodeToString(o.drawBytes()) }
}

// randomBytes returns 16 bytes that nobody else has.
func (o *Options) randomBytes() []byte {
	if o.World != nil {
		return o.drawBytes()
	}
	b := make([]byte, 16)
	crand.Read(b) // never fails
	return b
}

func (o *Options) drawBytes() []byte {
	b := make([]byte, 16)
	for i := 0; i < len(b); i += 4 {
		n := uint32(o.World.Random() * (1 << 24))
		b[i], b[i+1], b[i+2], b[i+3] = byte(n>>16), byte(n>>8), byte(n), byte(i)
	}
	return b
}

// NewProcess returns what tells the files of this process from those of all others that ever work for the job.
func (o *Options) NewProcess() string {
	return hex.EncodeToString(o.randomBytes())[:16]
}
