package keyed_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

var update = flag.Bool("update", false, "write the texts of the golden files anew; the streams are written by the tests of package heap")

const maxParallelism = 16

// told returns what a scan of a chain tells, and the number of its keys.
func told(streams ...stream) (text string, keys int, err error) {
	var handles []snapshot.Keyed
	var readers []io.ReaderAt
	for _, s := range streams {
		handles, readers = append(handles, s.handle), append(readers, bytes.NewReader(s.bytes))
	}
	s, err := keyed.NewScanChain(handles, maxParallelism, keyhash.Name, keygroup.GroupRule, readers)
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
		keys++
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
	return out.String(), keys, err
}

// stream is a stream with its handle.
type stream struct {
	handle snapshot.Keyed
	bytes  []byte
}

// golden reads a golden file: a handle, and the stream behind it.
func golden(t testing.TB, name string) stream {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseStream(file)
	if err != nil {
		t.Fatal(err)
	}
	s.handle.Increment = strings.HasPrefix(name, "increment")
	return s
}

func parseStream(src []byte) (s stream, err error) {
	next := func() int64 {
		x, n := binary.Varint(src)
		if n <= 0 {
			err = errors.New("cut short")
			return 0
		}
		src = src[n:]
		return x
	}
	k := snapshot.Keyed{Written: keygroup.Range{First: int(next()), Last: int(next())}}
	k.Range = k.Written
	k.Header, k.End = next(), next()
	if k.Written.Len() > maxParallelism {
		err = errors.New("too many groups")
	}
	for i := 0; i < k.Written.Len() && err == nil; i++ {
		k.Offsets = append(k.Offsets, next())
	}
	return stream{k, src}, err
}

// Streams of each version, compressed or not, and an increment say what the files beside them say. They must be read forever.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		text  string
		chain []string
	}{
		{"keyed-v1.txt", []string{"keyed-v1.bin"}},
		{"keyed-v2.txt", []string{"keyed-v2.bin"}},
		{"keyed-v1.txt", []string{"keyed-v3.bin"}}, // the same, compressed
		{"increment-v1.txt", []string{"keyed-v1.bin", "increment-v1.bin"}},
	} {
		var streams []stream
		for _, name := range c.chain {
			streams = append(streams, golden(t, name))
		}
		got, _, err := told(streams...)
		if err != nil {
			t.Fatalf("%v: %v", c.chain, err)
		}
		path := filepath.Join("testdata", c.text)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || got != string(want) {
			t.Errorf("%v: got\n%swant what %s has, %v", c.chain, got, path, err)
		}
	}
}

// What the head of a golden file says is written as it was.
func TestHeadComesBack(t *testing.T) {
	for _, name := range []string{"keyed-v1.bin", "keyed-v2.bin", "keyed-v3.bin", "increment-v1.bin"} {
		s := golden(t, name)
		src, err := keyed.ReadHead(&s.handle, bytes.NewReader(s.bytes))
		if err != nil {
			t.Fatal(err)
		}
		h, err := keyed.ParseHead(src)
		if err != nil {
			t.Fatal(err)
		}
		got := keyed.AppendHead(nil, h.Key, h.States, h.Increment)
		if !bytes.Equal(got, h.Plain) {
			t.Errorf("%s: the head is written as %x, and was %x", name, got, h.Plain)
		}
		if h.Compressed {
			got = keyed.CompressedHead(got)
		}
		if !bytes.Equal(got, src) {
			t.Errorf("%s: the head is %x, and was %x", name, got, src)
		}
	}
}

// Keys of each form are found in the group that their Go type's hash puts them in, and a key in another group is damage, unless it is a struct.
func TestScanKnowsTheGroup(t *testing.T) {
	scanKeys(t, true, []string{"", "a", "a longer one than sixteen bytes"})
	scanKeys(t, true, []bool{false, true})
	scanKeys(t, true, []int8{-128, -1, 5})
	scanKeys(t, true, []int{-1, 1 << 40})
	scanKeys(t, true, []uint16{1, 65535})
	scanKeys(t, true, []float32{-1.5, 0.25})
	scanKeys(t, true, []float64{-1.5, 0.25})
	scanKeys(t, true, [][2]int32{{-1, 2}, {3, 4}})
	scanKeys(t, true, [][3]string{{"a", "b", "c"}, {"", "x", ""}})
	scanKeys(t, false, []struct{ A, B int }{{1, 2}})
}

func scanKeys[K comparable](t *testing.T, known bool, keys []K) {
	t.Helper()
	if _, n, err := told(streamOf(t, keys, 0)); err != nil || n != len(keys) {
		t.Errorf("%T: %d of %d keys, %v", keys, n, len(keys), err)
	}
	_, _, err := told(streamOf(t, keys, 1))
	if known && (!errors.Is(err, keyed.ErrCorrupt) || !strings.Contains(err.Error(), "belongs to group")) || !known && err != nil {
		t.Errorf("%T in wrong groups: %v", keys, err)
	}
}

// streamOf returns a stream of keys that have no state, so many groups behind those that they belong to.
func streamOf[K comparable](t *testing.T, keys []K, behind int) stream {
	t.Helper()
	c, err := codec.For[K]()
	if err != nil {
		t.Fatal(err)
	}
	hash, _, err := keyhash.Of[K]()
	if err != nil {
		t.Fatal(err)
	}
	var groups [maxParallelism][]byte
	var rows [maxParallelism]uint64
	for i := range keys {
		g := (keygroup.Of(hash(&keys[i]), maxParallelism) + behind) % maxParallelism
		groups[g] = c.Append(groups[g], &keys[i])
		rows[g]++
	}
	s := stream{bytes: keyed.AppendHead(nil, c.Schema(), nil, false)}
	s.handle.Written = keygroup.RangeOf(0, 1, maxParallelism)
	s.handle.Range, s.handle.Header = s.handle.Written, int64(len(s.bytes))
	for g, b := range groups {
		s.handle.Offsets = append(s.handle.Offsets, int64(len(s.bytes)))
		if rows[g] > 0 {
			s.bytes = append(binary.AppendUvarint(s.bytes, rows[g]), b...)
		}
	}
	s.handle.End = int64(len(s.bytes))
	return s
}

// A byte changed or missing makes an error or other values, never a panic; what is cut off is damage.
func TestDamaged(t *testing.T) {
	for _, name := range []string{"keyed-v1.bin", "keyed-v2.bin", "keyed-v3.bin", "increment-v1.bin"} {
		base, damaged := golden(t, "keyed-v1.bin"), golden(t, name)
		scan := func() error {
			if damaged.handle.Increment {
				_, _, err := told(base, damaged)
				return err
			}
			_, _, err := told(damaged)
			return err
		}
		whole := damaged.bytes
		for i := range whole {
			damaged.bytes = bytes.Clone(whole)
			damaged.bytes[i] ^= 0x81
			_ = scan()
			damaged.bytes = whole[:i]
			if err := scan(); !errors.Is(err, keyed.ErrCorrupt) && !errors.Is(err, codec.ErrCorrupt) {
				t.Errorf("%s cut to %d of %d bytes: %v", name, i, len(whole), err)
			}
		}
	}
}

// FuzzHead: a head of arbitrary bytes is refused, or says something that comes back when it is written.
func FuzzHead(f *testing.F) {
	for _, name := range []string{"keyed-v1.bin", "keyed-v2.bin", "keyed-v3.bin", "increment-v1.bin"} {
		s := golden(f, name)
		f.Add(s.bytes[:s.handle.Header])
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		h, err := keyed.ParseHead(src)
		if err != nil {
			return
		}
		written := keyed.AppendHead(nil, h.Key, h.States, h.Increment)
		again, err := keyed.ParseHead(written)
		if err != nil {
			t.Fatalf("what was read is written as something that cannot be read: %v", err)
		}
		if got := keyed.AppendHead(nil, again.Key, again.States, again.Increment); !bytes.Equal(got, written) || again.Stamped != h.Stamped {
			t.Errorf("%x comes back as %x", written, got)
		}
	})
}

// FuzzScan: an arbitrary stream, and an increment on a good one, make an error or rows, never a panic.
func FuzzScan(f *testing.F) {
	for _, name := range []string{"keyed-v1.bin", "keyed-v2.bin", "keyed-v3.bin", "increment-v1.bin"} {
		file, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	base := golden(f, "keyed-v1.bin")
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := parseStream(file)
		if err != nil {
			return
		}
		_, _, _ = told(s)
		s.handle.Increment = true
		_, _, _ = told(base, s)
	})
}
