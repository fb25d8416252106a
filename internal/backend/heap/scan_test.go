package heap_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// scan reads a stream without its types. The text says what is in it.
func scan(k snapshot.Keyed, b []byte) (text string, rows int, err error) {
	s, err := keyed.NewScan(k, maxParallelism, keyhash.Name, keygroup.GroupRule, bytes.NewReader(b))
	if err != nil {
		return "", 0, err
	}
	out := fmt.Appendln(nil, s.Key, s.States)
	err = s.Rows(func(r keyed.Row) error {
		rows++
		out = fmt.Appendf(out, "%q %v\n", r.Key, r.Cells)
		return nil
	})
	return string(out), rows, err
}

// FuzzScan compares with Restore: what a program can restore can be scanned.
func FuzzScan(f *testing.F) {
	k, b, _ := filled(f)
	f.Add(append(appendHandle(nil, k), b...))
	k, b = compressedOf(f, k, b)
	f.Add(append(appendHandle(nil, k), b...))
	f.Fuzz(func(t *testing.T, file []byte) {
		k, b, err := parseHandle(file)
		if err != nil {
			return
		}
		_, _, scanErr := scan(k, b)
		if k.Written.First < 0 || k.Written.Last >= maxParallelism {
			return
		}
		var p everything
		s := open(t, &p, 0, 1, keyhash.String)
		defer s.Close()
		if err := s.Restore(k, bytes.NewReader(b)); err == nil && scanErr != nil {
			t.Fatalf("it can be restored, but not scanned: %v", scanErr)
		}
	})
}
