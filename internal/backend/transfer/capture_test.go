package transfer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// tables lie over a store whose snapshot there is once ready is closed.
type tables struct {
	closing
	ready chan struct{}
}

// closing is a snapshot that counts how often it was closed.
type closing struct {
	taken
	closed *int
}

func (closing) Meta() []byte   { return []byte("meta") }
func (c closing) Close() error { *c.closed++; return nil }

func newTables(names ...string) *tables {
	return &tables{closing{snap(names...), new(int)}, make(chan struct{})}
}

func (*tables) Head() []byte           { return []byte("head") }
func (*tables) Groups() keygroup.Range { return keygroup.Range{First: 3, Last: 5} }
func (x *tables) SnapshotStore() func(context.Context) (backend.Snapshot, error) {
	return func(ctx context.Context) (backend.Snapshot, error) {
		select {
		case <-x.ready:
			return x.closing, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// TestCaptureIsWritten shows what is written of a snapshot and what is said of it, and that it is closed then.
func TestCaptureIsWritten(t *testing.T) {
	x, p := newTables("a.sst", "log"), &place{}
	close(x.ready)
	c := NewFiles(1, true, nil).Capture(x, "mine")
	k, err := c.Write(t.Context(), 1, element.Checkpoint, p.stream)
	if err != nil {
		t.Fatal(err)
	}
	if k.Range != x.Groups() || k.Written != x.Groups() || k.Format != "mine" || k.Header != 4 || k.End != 4 || len(k.Files) != 2 {
		t.Errorf("wrote %+v", k)
	}
	if k.Stream.Scope != snapshot.Exclusive || !strings.HasPrefix(k.Stream.Path, "headmeta#") {
		t.Errorf("the stream is %+v", k.Stream)
	}
	if c.Release(); *x.closed != 1 {
		t.Errorf("closed %d times", *x.closed)
	}
}

// TestCaptureIsClosed shows that the snapshot of a capture is closed once, whatever became of it, also if there is none before it is given up.
func TestCaptureIsClosed(t *testing.T) {
	write := func(ctx context.Context, c *Capture, p *place) error {
		_, err := c.Write(ctx, 1, element.Checkpoint, p.stream)
		return err
	}
	for _, test := range []struct {
		name string
		do   func(t *testing.T, x *tables, c *Capture)
	}{
		{"it is not written", func(_ *testing.T, x *tables, c *Capture) {
			c.Release()
			close(x.ready)
		}},
		{"it is given up while it is waited for", func(t *testing.T, x *tables, c *Capture) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := write(ctx, c, &place{}); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			c.Release()
			close(x.ready)
		}},
		{"it is written too late", func(t *testing.T, x *tables, c *Capture) {
			close(x.ready)
			c.Release()
			if err := write(t.Context(), c, &place{}); !errors.Is(err, errReleased) {
				t.Errorf("%v", err)
			}
		}},
		{"it cannot be written", func(t *testing.T, x *tables, c *Capture) {
			close(x.ready)
			if err := write(t.Context(), c, &place{fail: "headmeta"}); err == nil {
				t.Error("it could be")
			}
			c.Release()
		}},
		{"it is released again", func(_ *testing.T, x *tables, c *Capture) {
			c.Release()
			c.Release()
			close(x.ready)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newTables("a.sst")
				test.do(t, x, NewFiles(1, true, nil).Capture(x, "mine"))
				synctest.Wait()
				if *x.closed != 1 {
					t.Errorf("closed %d times", *x.closed)
				}
			})
		})
	}
}
