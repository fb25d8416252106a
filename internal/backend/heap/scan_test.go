package heap_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/state"
)

func scan(k snapshot.Keyed, b []byte) (text string, rows int, err error) {
	s, err := keyed.NewScan(k, maxParallelism, keyhash.Name, keygroup.GroupRule, bytes.NewReader(b))
	if err != nil {
		return "", 0, err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "key %v\n", s.Key)
	for _, st := range s.States {
		fmt.Fprintf(&out, "%v %q %v %v", st.Kind, st.Name, st.Key, st.Elem)
		if st.Expires() {
			fmt.Fprintf(&out, " for %v of %v time", st.TTL, st.Domain)
		}
		fmt.Fprintln(&out)
	}
	err = s.Rows(func(r keyed.Row) error {
		rows++
		key, _, err := s.Key.AppendText(nil, r.Key)
		fmt.Fprintf(&out, "group %d key %s\n", r.Group, key)
		for i, c := range r.Cells {
			fmt.Fprintf(&out, "  %s: %d, %x, %d", s.States[i].Name, c.Entries, c.Bytes, c.Deadline)
			if c.Deadlines != nil || c.Ends != nil {
				fmt.Fprint(&out, ", ", c.Deadlines, c.Ends)
			}
			fmt.Fprintln(&out)
		}
		return err
	})
	return out.String(), rows, err
}

// The golden file of format version 1 says without a program what the file beside it says.
func TestScanGolden(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("testdata", "keyed-v1.bin"))
	if err != nil {
		t.Fatal(err)
	}
	k, b, err := parseHandle(file)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := scan(k, b)
	if err != nil {
		t.Fatal(err)
	}
	goldenText(t, "keyed-v1.txt", got)
}

// Keys of each form are found in the group that their Go type's hash has put them in, and a key in another group is damage.
func TestScanKnowsTheGroup(t *testing.T) {
	scanKeys(t, []string{"", "a", "a longer one than sixteen bytes"})
	scanKeys(t, []bool{false, true})
	scanKeys(t, []int8{-128, -1, 5})
	scanKeys(t, []int{-1, 1 << 40})
	scanKeys(t, []uint16{1, 65535})
	scanKeys(t, []float32{-1.5, 0.25})
	scanKeys(t, []float64{-1.5, 0.25})
	scanKeys(t, [][2]int32{{-1, 2}, {3, 4}})
	scanKeys(t, [][3]string{{"a", "b", "c"}, {"", "x", ""}})
	scanKeys(t, []struct{ A, B int }{{1, 2}})
}

func scanKeys[K comparable](t *testing.T, keys []K) {
	t.Helper()
	hash, _, err := keyhash.Of[K]()
	if err != nil {
		t.Fatal(err)
	}
	var p struct{ N state.Value[int64] }
	s := open(t, &p, 0, 1, func(k K) uint64 { return hash(&k) })
	defer s.Close()
	at(s, func(k K) uint64 { return hash(&k) }, func(K) { p.N.Set(1) }, keys...)
	k, b := write(t, s.Capture())
	if _, n, err := scan(k, b); err != nil || n != len(keys) {
		t.Errorf("%T: %d of %d keys, %v", keys, n, len(keys), err)
	}
}

// A byte changed or missing makes an error or other values, never a panic; what is cut off is damage, and so is a key moved elsewhere.
func TestScanDamaged(t *testing.T) {
	k, b, _ := filled(t)
	for i := range b {
		damaged := bytes.Clone(b)
		damaged[i] ^= 0x81
		_, _, _ = scan(k, damaged)
		if _, _, err := scan(k, b[:i]); !errors.Is(err, keyed.ErrCorrupt) && !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("cut to %d of %d bytes: %v", i, len(b), err)
		}
	}
	at := bytes.Index(b, []byte("ATL"))
	if at < 0 {
		t.Fatal("the key ATL is not in the stream")
	}
	damaged := bytes.Clone(b)
	copy(damaged[at:], "XTL")
	if _, _, err := scan(k, damaged); !errors.Is(err, keyed.ErrCorrupt) || !strings.Contains(err.Error(), "belongs to group") {
		t.Errorf("a key in a wrong group: %v", err)
	}
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
