package fs

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"unsafe"

	"github.com/weirstream/weir/storage"
)

// A file holds what was written to it, in order, whatever the sizes of the pieces: around the size from which the page cache is passed by,
// the alignment, and the size of a block.
func TestLocalWritesOfEverySize(t *testing.T) {
	for _, sizes := range [][]int{
		{directFrom},
		{directFrom - 1, directFrom, 1},
		{100, directFrom, 7, directBytes, 3},
		{directAlign, directBytes, directBytes},
		{directAlign - 1, directFrom},
		{1, 2*directBytes + 1, directFrom, directFrom},
		{300, 256 << 10, 256<<10 - 5, 256 << 10, 256 << 10, 256 << 10},
		{directFlights * directBytes, 1, directBytes - 1, directBytes},
		{directAhead - 1, directBytes + 1, directBytes + 2},
	} {
		name := filepath.Join(t.TempDir(), "f")
		want := writePieces(t, name, sizes)
		got, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("pieces of %v bytes: %d bytes came back of %d, or others (%v)", sizes, len(got), len(want), err)
		}
	}
}

// Files that are written at once wait for the system each for itself, whoever collects what is done.
func TestLocalWritesManyFiles(t *testing.T) {
	dir := t.TempDir()
	t.Run("files", func(t *testing.T) {
		for i := range 8 {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				name := filepath.Join(dir, strconv.Itoa(i))
				want := writePieces(t, name, []int{directFlights*directBytes + i, directBytes, directBytes})
				if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes came back of %d, or others (%v)", len(got), len(want), err)
				}
			})
		}
	})
}

// After Sync the file ends where what was written ends, whatever it was extended to, and goes on from there. Abort waits for what the system
// does with the file's blocks.
func TestLocalSyncsWhatTheSystemWrites(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	w, err := Local{}.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	piece := bytes.Repeat([]byte("0123456789abcde"), 200_001)
	var want []byte
	for range 3 {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
		if err := w.(storage.Syncer).Sync(); err != nil {
			t.Fatal(err)
		}
		want = append(want, piece...)
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes are in the file of %d, or others (%v)", len(got), len(want), err)
		}
	}
	if _, err := w.Write(piece); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.HasPrefix(got, want) {
		t.Errorf("after Abort what was synced is lost: %d bytes of %d (%v)", len(got), len(want), err)
	}
}

// Where there is nobody to leave them to, pieces that are aligned in memory are written as they are, and those that follow others that are not
// are gathered.
func TestLocalWritesAlignedPieces(t *testing.T) {
	for _, sizes := range [][]int{
		{directFrom},
		{directBytes, directBytes, 5},
		{directBytes + 5, directBytes, directFrom},
		{5, directBytes, directBytes},
		{directBytes, 5, directBytes + directFrom, directBytes},
	} {
		name := filepath.Join(t.TempDir(), "f")
		want := writeAligned(t, name, sizes)
		got, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("aligned pieces of %v bytes: %d bytes came back of %d, or others (%v)", sizes, len(got), len(want), err)
		}
	}
}

func writeAligned(t *testing.T, name string, sizes []int) []byte {
	alone := failing{fails: func(op string) error {
		if op == "canStart" {
			return errRefused
		}
		return nil
	}}
	return writePiecesOf(t, alone, name, sizes, func(n int) []byte {
		b := make([]byte, n+directAlign)
		from := -uintptr(unsafe.Pointer(&b[0])) & (directAlign - 1)
		return b[from:][:n]
	})
}

func writePieces(t *testing.T, name string, sizes []int) []byte {
	return writePiecesOf(t, Local{}, name, sizes, func(n int) []byte { return make([]byte, n) })
}

func writePiecesOf(t *testing.T, fs storage.FS, name string, sizes []int, room func(n int) []byte) (all []byte) {
	w, err := fs.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{})
	for _, n := range sizes {
		p := room(n)
		random.Read(p)
		if m, err := w.Write(p); m != n || err != nil {
			t.Fatalf("wrote %d of %d bytes: %v", m, n, err)
		}
		all = append(all, p...)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	return all
}

// A file system that takes no writes past its cache after all, here because a piece is not aligned in memory, gets them as usual.
func TestLocalGoesBackToUsualWrites(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	file, err := createFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f := bulkFile{disk: &systemFile{File: file}}
	if f.begin(); f.block == nil {
		t.Skip("no writes past the page cache here")
	}
	crooked := make([]byte, directBytes+directAlign)
	if uintptr(unsafe.Pointer(&crooked[0]))%directAlign == 0 {
		crooked = crooked[1:]
	}
	crooked = crooked[:0:directBytes]
	f.block = &crooked
	want := bytes.Repeat([]byte{1, 2, 3}, directBytes)
	if n, err := f.Write(want); n != len(want) || err != nil {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(want), err)
	}
	if !f.usual {
		t.Log("this file system takes any alignment: the way back was not taken")
	}
	if err := errors.Join(f.finish(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back of %d, or others (%v)", len(got), len(want), err)
	}
}
