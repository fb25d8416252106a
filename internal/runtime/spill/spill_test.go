package spill

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// counted makes temporary files and counts those that are open.
type counted struct {
	files Files
	open  int
}

func newCounted(t *testing.T) *counted {
	dir := t.TempDir()
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("files are left: %v, %v", left, err)
		}
	})
	return &counted{files: Temp(dir)}
}

func (c *counted) create() (File, error) {
	f, err := c.files()
	c.open++
	return countedFile{f, c}, err
}

type countedFile struct {
	File
	c *counted
}

func (f countedFile) Close() error {
	f.c.open--
	return f.File.Close()
}

// TestBlocks shows that every block is found again, in a random order of puts and takes, and that files are closed with the last block in
// them: what was taken takes no space.
func TestBlocks(t *testing.T) {
	c, rng := newCounted(t), rand.New(rand.NewPCG(1, 2))
	b := NewBlocks(c.create)
	b.limit = 100
	type put struct {
		block Block
		text  string
	}
	var waiting []put
	var buf []byte
	for i := range 3000 {
		if rng.IntN(5) < 2 || i > 2000 {
			if len(waiting) == 0 {
				continue
			}
			got, err := waiting[0].block.Take(buf)
			if err != nil || string(got) != waiting[0].text {
				t.Fatalf("got %q, %v, want %q", got, err, waiting[0].text)
			}
			buf, waiting = got, waiting[1:]
			continue
		}
		text := strings.Repeat(fmt.Sprint(i), rng.IntN(20))
		block, err := b.Put([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, put{block, text})
	}
	for _, w := range waiting {
		if err := w.block.Drop(); err != nil {
			t.Fatal(err)
		}
	}
	if c.open > 1 {
		t.Errorf("%d files are open with no block waiting", c.open)
	}
	if err := b.Close(); err != nil || c.open != 0 {
		t.Errorf("close: %v, %d files are open", err, c.open)
	}
	if _, err := b.Put(nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("put after close: %v", err)
	}
}

// TestLog shows that a log holds what was written to it, within its limit and beyond, and that it can be read twice.
func TestLog(t *testing.T) {
	for _, limit := range []int{0, 10, 1000} {
		c := newCounted(t)
		l := NewLog(c.create, limit)
		var want []byte
		for i := range 100 {
			p := fmt.Appendf(nil, "%d ", i)
			if _, err := l.Write(p); err != nil {
				t.Fatal(err)
			}
			want = append(want, p...)
		}
		if l.Size() != int64(len(want)) {
			t.Errorf("size %d, want %d", l.Size(), len(want))
		}
		for range 2 {
			var got bytes.Buffer
			if n, err := l.WriteTo(&got); err != nil || n != int64(len(want)) || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("limit %d: got %d bytes, %v", limit, n, err)
			}
		}
		if err := l.Close(); err != nil || c.open != 0 {
			t.Errorf("close: %v, %d files are open", err, c.open)
		}
	}
}

// TestNoFile shows that the error of a full disk comes to whoever writes.
func TestNoFile(t *testing.T) {
	full := errors.New("disk full")
	none := func() (File, error) { return nil, full }
	if _, err := NewBlocks(none).Put([]byte("x")); !errors.Is(err, full) {
		t.Errorf("Put: %v", err)
	}
	if _, err := NewLog(none, 0).Write([]byte("x")); !errors.Is(err, full) {
		t.Errorf("Write: %v", err)
	}
}
