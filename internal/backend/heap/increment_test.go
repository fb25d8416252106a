package heap_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// grown is an increment on what filled returns, with every kind of change, and the state of each key after it.
func grown(t testing.TB) (base, increment link, dumps map[string]string) {
	k, b, dumps := filled(t)
	base = link{k, b}
	var p everything
	s := openTracking(t, &p, 0, 1, keyhash.String)
	restore(t, s, []link{base}, k.Written)
	epoch, ok := s.Restored()
	if !ok {
		t.Fatal("the chain cannot go on")
	}
	at(s, keyhash.String, func(string) {
		p.Count.Set(1234)
		p.Pages.Put("first", 1)
		p.Pages.Put("second", 2)
		p.Groups.Clear()
		p.Groups.Put([2]int16{1, 2}, []string{"c"})
		p.Recent.Append(99)
		p.Idle.AtMillis(77)
	}, "ATL", "fresh")
	at(s, keyhash.String, func(string) { p.clear() }, "BOS")
	at(s, keyhash.String, func(string) {
		p.Pages.Clear()
		p.Words.Set([]string{"anew"})
		p.Poll.Clear()
	}, "CHI")
	dumps["fresh"] = ""
	for key := range dumps {
		at(s, keyhash.String, func(string) { dumps[key] = p.dump() }, key)
	}
	k, b = write(t, s.CaptureSince(epoch))
	return base, link{k, b}, dumps
}

// The golden file is an increment of format version 1, on the golden file of streams: it must be read forever, and this is what is written.
func TestGoldenIncrement(t *testing.T) {
	base, increment, dumps := grown(t)
	path := filepath.Join("testdata", "increment-v1.bin")
	file := append(appendHandle(nil, increment.keyed), increment.bytes...)
	if *update {
		if err := os.WriteFile(path, file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, want) {
		t.Errorf("the form has changed: %d bytes, want %d; see docs/formats/keyed.md", len(file), len(want))
	}
	k, b, err := parseHandle(want)
	if err != nil {
		t.Fatal(err)
	}
	k.Increment = true
	var p everything
	s := open(t, &p, 0, 1, keyhash.String)
	restore(t, s, []link{base, {k, b}}, k.Written)
	for key, want := range dumps {
		at(s, keyhash.String, func(string) {
			if got := p.dump(); got != want {
				t.Errorf("key %s is %q, want %q", key, got, want)
			}
		}, key)
	}
}

// An increment of arbitrary bytes fails or gives a store that works, and what can be restored can be scanned.
func FuzzIncrement(f *testing.F) {
	base, increment, _ := grown(f)
	f.Add(append(appendHandle(nil, increment.keyed), increment.bytes...))
	f.Fuzz(func(t *testing.T, file []byte) {
		k, b, err := parseHandle(file)
		if err != nil || k.Written != base.keyed.Written {
			return
		}
		k.Increment = true
		chain, readers := []snapshot.Keyed{base.keyed, k}, []io.ReaderAt{bytes.NewReader(base.bytes), bytes.NewReader(b)}
		scan, scanErr := heap.NewScanChain(chain, maxParallelism, keyhash.Name, keygroup.GroupRule, readers)
		if scanErr == nil {
			scanErr = scan.Rows(func(heap.Row) error { return nil })
		}
		var p everything
		s := open(t, &p, 0, 1, keyhash.String)
		defer s.Close()
		restore(t, s, []link{base}, base.keyed.Written)
		if err := s.Restore(k, bytes.NewReader(b)); err != nil {
			return
		}
		if scanErr != nil {
			t.Fatalf("it can be restored, but not scanned: %v", scanErr)
		}
		at(s, keyhash.String, func(string) { p.dump(); p.clear() }, "ATL", "BOS", "fresh")
		write(t, s.Capture())
	})
}
