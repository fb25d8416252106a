package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
)

var update = flag.Bool("update", false, "rewrite the golden text (never the golden bytes of a released version)")

// example has every field set to something other than its zero value somewhere, and every nil and empty case somewhere.
func example() *Metadata {
	return &Metadata{
		Job:         job.ID{0xa1, 0xb2, 15: 0xff},
		JobName:     "flights é",
		Line:        "0123456789abcdef",
		Checkpoint:  42,
		Kind:        Savepoint,
		Native:      true,
		Stop:        element.Drain,
		Epoch:       7,
		Triggered:   time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Completed:   time.Date(2026, 1, 2, 3, 4, 5, 987654321, time.UTC),
		Graph:       "graph-fingerprint",
		KeyHash:     "weir-fold64/1",
		GroupRule:   keygroup.GroupRule,
		Directories: []string{"/dir/taskowned/a"},
		Operators: []OperatorState{
			{
				ID: job.OperatorIDOf("read"), Name: "read", Named: true, Parallelism: 2, MaxParallelism: 128,
				Coordinator: []byte("splits"), Location: "file:///in.csv",
				Subtasks: []*OperatorSubtask{
					{Finished: true},
					{Lists: []List{
						{Name: "offsets", Mode: Split, Schema: []byte("int64"), Offsets: []int64{0, 8, 16}, Stream: inline("0123456789abcdefgh")},
						{Name: "all", Mode: Union, Schema: []byte("string"), Offsets: []int64{0}, Stream: inline("u")},
						{Name: "rules", Mode: Broadcast},
					}},
				},
			},
			{
				ID: job.OperatorIDOf("count"), Name: "Process-2", Parallelism: 2, MaxParallelism: 4, Coordinator: []byte{},
				Subtasks: []*OperatorSubtask{
					{Keyed: []Keyed{{
						Range: keygroup.Range{First: 0, Last: 1}, Written: keygroup.Range{First: 0, Last: 1},
						Offsets: []int64{10, 700}, End: 1 << 40, Header: 10,
						Stream: Stream{Path: "0b7a2c1e", Offset: 3, Length: 1<<40 + 5, CRC: 0xdeadbeef},
					}}},
					{Keyed: []Keyed{{
						Range: keygroup.Range{First: 2, Last: 3}, Written: keygroup.Range{First: 2, Last: 3},
						Offsets: []int64{4, 4}, End: 4, Header: 4,
						Stream: Stream{Path: "/dir/shared/77", Scope: Shared, Length: 4, CRC: 1},
					}, {
						Range: keygroup.Range{First: 2, Last: 3}, Written: keygroup.Range{First: 2, Last: 3}, Increment: true,
						Offsets: []int64{4, 4}, End: 5, Header: 4,
						Stream: Stream{Path: "/dir/taskowned/a/78", Scope: TaskOwned, Offset: 100, Length: 5, CRC: 2},
					}}},
				},
			},
			{
				ID: job.OperatorIDOf("join"), Name: "join", Named: true, Parallelism: 1, MaxParallelism: 4,
				Subtasks: []*OperatorSubtask{{Keyed: []Keyed{{
					Range: keygroup.Range{First: 0, Last: 3}, Written: keygroup.Range{First: 0, Last: 3},
					End: 4, Header: 4, Stream: inline("head"), Format: "pebble",
					Files: []File{{"000007.sst", Stream{Path: "/dir/shared/79", Scope: Shared, Length: 4096, CRC: 3}}, {"MANIFEST", inline("manifest")}},
				}}}},
			},
			{ID: job.OperatorIDOf("write"), Name: "write", Named: true, Parallelism: 1, MaxParallelism: 1, Location: "out", Subtasks: []*OperatorSubtask{nil}},
			{ID: job.OperatorIDOf("done"), Name: "done", Parallelism: 3, MaxParallelism: 128, FullyFinished: true},
		},
	}
}

// changelog has keyed state in the form of a backend, and what was logged behind it.
func changelog() *Metadata {
	m, groups := example(), keygroup.Range{First: 0, Last: 3}
	sub := m.Operators[2].Subtasks[0]
	for i := range 2 {
		sub.Keyed = append(sub.Keyed, Keyed{
			Range: groups, Written: groups, Increment: true, Format: "pebble", Header: 9, End: 100,
			Stream: Stream{Path: fmt.Sprint("/dir/changelog/", i), Scope: Shared, Length: 100, CRC: 7},
		})
	}
	return m
}

// exampleOf returns what example says in a format version, without what that did not know yet.
func exampleOf(version int) *Metadata {
	m := example()
	if version < 2 {
		m.Native, m.Stop = false, element.GoOn
	}
	if version < 3 {
		m.Directories = nil
		count := m.Operators[1].Subtasks[1]
		count.Keyed = count.Keyed[:1]
		m.Operators = slices.Delete(m.Operators, 2, 3)
	}
	return m
}

func inline(s string) Stream {
	return Stream{Inline: []byte(s), Length: int64(len(s)), CRC: crc32.Checksum([]byte(s), castagnoli)}
}

// Every field survives being written down and read.
func TestRoundTrip(t *testing.T) {
	for name, m := range map[string]*Metadata{"example": example(), "least": {Checkpoint: 1}, "changelog": changelog()} {
		data, err := Encode(m)
		if err != nil {
			t.Fatalf("%s: Encode: %v", name, err)
		}
		got, err := Decode(data)
		if err != nil {
			t.Fatalf("%s: Decode: %v", name, err)
		}
		m.Triggered, m.Completed = m.Triggered.UTC(), m.Completed.UTC()
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%s: read back\n%+v\nwrote\n%+v", name, got, m)
		}
	}
}

// Encode cannot forget a field that example sets: this fails when a field is added to a type and example does not know it.
func TestExampleSetsEveryField(t *testing.T) {
	set := map[string]bool{}
	collect(reflect.ValueOf(*example()), "", set)
	for _, typ := range []any{Metadata{}, OperatorState{}, OperatorSubtask{}, Keyed{}, File{}, List{}, Stream{}} {
		rt := reflect.TypeOf(typ)
		for i := range rt.NumField() {
			name := rt.Name() + "." + rt.Field(i).Name
			if !set[name] && name != "Stream.Partial" { // never written
				t.Errorf("example sets no %s: set it, and see that Encode writes it", name)
			}
		}
	}
}

func collect(v reflect.Value, field string, set map[string]bool) {
	if field != "" && !v.IsZero() {
		set[field] = true
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			collect(v.Elem(), field, set)
		}
	case reflect.Slice:
		for i := range v.Len() {
			collect(v.Index(i), "", set)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				collect(v.Field(i), v.Type().Name()+"."+v.Type().Field(i).Name, set)
			}
		}
	}
}

// The files of each format version are read forever. A new version gets a new file; the old ones are never rewritten.
func TestGolden(t *testing.T) {
	for version := 1; version <= Version; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) { golden(t, version) })
	}
}

func golden(t *testing.T, version int) {
	bytesName, textName := fmt.Sprintf("testdata/metadata-v%d.bin", version), fmt.Sprintf("testdata/metadata-v%d.txt", version)
	data, err := os.ReadFile(bytesName)
	if errors.Is(err, os.ErrNotExist) && *update && version == Version {
		data = mustEncode(t, example())
		err = os.WriteFile(bytesName, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(textName, []byte(m.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(textName)
	if err != nil {
		t.Fatal(err)
	}
	if m.String() != string(want) {
		t.Errorf("%s reads as\n%s\nwant\n%s", bytesName, m, want)
	}
	if !reflect.DeepEqual(m, exampleOf(version)) {
		t.Errorf("%s no longer reads as what was written", bytesName)
	}
	if version == Version && !bytes.Equal(mustEncode(t, example()), data) {
		t.Errorf("this version is written differently now: that needs a new version")
	}
}

func mustEncode(t *testing.T, m *Metadata) []byte {
	t.Helper()
	data, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Any single changed bit and any cut is proof of damage.
func TestDamageIsProved(t *testing.T) {
	data := mustEncode(t, example())
	for bit := range len(data) * 8 {
		bad := bytes.Clone(data)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, err := Decode(bad); !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %d changed: %v, want ErrDamaged", bit, err)
		}
	}
	for n := range data {
		if _, err := Decode(data[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d bytes: %v, want ErrDamaged", n, err)
		}
	}
	if _, err := Decode(append(data, 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("one byte more: %v, want ErrDamaged", err)
	}
}

// A newer version is told from damage, by the parts that every version keeps.
func TestUnknownVersion(t *testing.T) {
	data := seal([]byte("whatever version 9 holds"))
	binary.LittleEndian.PutUint32(data[len(magic):], 9)
	_, err := Decode(reseal(data))
	var version *VersionError
	if !errors.As(err, &version) || version.Version != 9 || errors.Is(err, ErrDamaged) {
		t.Errorf("version 9: %v", err)
	}
}

// Bytes with a right checksum that make no sense are not called damage: no disk does that.
func TestNonsenseIsNotDamage(t *testing.T) {
	_, err := Decode(seal([]byte("nonsense")))
	if err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("nonsense: %v", err)
	}
}

// seal puts a body between head and trailer as Encode does.
func seal(body []byte) []byte { return sealAs(Version, body) }

func sealAs(version uint32, body []byte) []byte {
	data := append(make([]byte, headSize), body...)
	copy(data, magic)
	binary.LittleEndian.PutUint32(data[len(magic):], version)
	binary.LittleEndian.PutUint64(data[len(magic)+4:], uint64(len(body)))
	return reseal(append(data, 0, 0, 0, 0))
}

func reseal(data []byte) []byte {
	end := len(data) - trailerSize
	binary.LittleEndian.PutUint32(data[end:], crc32.Checksum(data[:end], castagnoli))
	return data
}

// What contradicts itself is not written.
func TestCheck(t *testing.T) {
	keyed := func(m *Metadata) *Keyed { return &m.Operators[1].Subtasks[0].Keyed[0] }
	files := func(m *Metadata) *Keyed { return &m.Operators[2].Subtasks[0].Keyed[0] }
	list := func(m *Metadata) *List { return &m.Operators[0].Subtasks[1].Lists[0] }
	for _, c := range []struct {
		change func(m *Metadata)
		want   string
	}{
		{func(m *Metadata) { m.Checkpoint = 0 }, "checkpoint id 0: must be positive"},
		{func(m *Metadata) { m.Kind = Checkpoint }, "a checkpoint in a format of savepoints"},
		{func(m *Metadata) { m.Stop = 3 }, "way to stop 3: unknown"},
		{func(m *Metadata) { m.Kind = 2 }, "kind of snapshot 2: unknown"},
		{func(m *Metadata) { m.Operators[0].Parallelism = 3 }, "state of 2 subtasks at parallelism 3"},
		{func(m *Metadata) { m.Operators[0].Parallelism = 0 }, "parallelism 0: must be at least 1"},
		{func(m *Metadata) { m.Operators[0].FullyFinished = true }, "fully finished, yet with"},
		{func(m *Metadata) { m.Operators[0].Subtasks[1].Finished = true }, "finished, yet with state"},
		{func(m *Metadata) { keyed(m).Written.Last = 4 }, "key groups [0..4] at max parallelism 4"},
		{func(m *Metadata) { keyed(m).Range.Last = 2 }, "key groups [0..2] of a stream that has [0..1]"},
		{func(m *Metadata) { keyed(m).Offsets = []int64{10} }, "1 offsets for key groups [0..1]"},
		{func(m *Metadata) { keyed(m).Offsets = []int64{11, 10} }, "offsets do not ascend"},
		{func(m *Metadata) { keyed(m).Offsets[0] = 9 }, "offsets from 9 to 700, outside of 10 to"},
		{func(m *Metadata) { keyed(m).End = 1 << 50 }, "key groups up to 1125899906842624 in"},
		{func(m *Metadata) { list(m).Offsets[2] = 19 }, "offsets from 0 to 19, outside of 0 to 18"},
		{func(m *Metadata) { list(m).Mode = 4 }, "mode 4: unknown"},
		{func(m *Metadata) { list(m).Stream.Path = "x" }, "both in file x and inline"},
		{func(m *Metadata) { list(m).Stream.Length = 20 }, "an inline stream of 18 bytes at 0 with length 20"},
		{func(m *Metadata) { list(m).Stream.Partial = true }, "a part of a stream"},
		{func(m *Metadata) { keyed(m).Stream.Scope = 3 }, "scope 3 of a stream: unknown"},
		{func(m *Metadata) { keyed(m).Increment = true }, "an increment of key groups [0..1] on nothing"},
		{func(m *Metadata) { files(m).Format = "" }, "2 files of a state backend without a name"},
		{func(m *Metadata) { files(m).Offsets = []int64{4, 4, 4, 4} }, "offsets of key groups in a head alone"},
		{func(m *Metadata) { files(m).Files[1].Name = "000007.sst" }, `two are named "000007.sst"`},
		{func(m *Metadata) { files(m).Files[0].Stream.Length = -1 }, "file 000007.sst of pebble: a stream of -1 bytes"},
		{func(m *Metadata) { keyed(m).Stream.Offset = -1 }, "bytes at -1"},
	} {
		m := example()
		c.change(m)
		if _, err := Encode(m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Encode: %v, want ...%s...", err, c.want)
		}
	}
}

// FuzzDecode shows that no bytes make Decode panic or take memory out of proportion, and that what it accepts is written back the same. The
// body is sealed first, since no fuzzer guesses a checksum.
func FuzzDecode(f *testing.F) {
	data, err := Encode(example())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[headSize : len(data)-trailerSize])
	old, err := os.ReadFile("testdata/metadata-v1.bin")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(old[headSize : len(old)-trailerSize])
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, body []byte) {
		Decode(body)
		Decode(sealAs(1, body))
		Decode(sealAs(2, body))
		m, err := Decode(seal(body))
		if err != nil {
			return
		}
		again, err := Decode(mustEncode(t, m))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v is read back as %+v, %v", m, again, err)
		}
	})
}

func TestGoldenFilesAreAllRead(t *testing.T) {
	names, err := filepath.Glob("testdata/*.bin")
	if err != nil || len(names) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
