package start

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"time"

	"github.com/weirstream/weir/internal/job"
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
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
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
