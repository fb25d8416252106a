package line

import (
	"bytes"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/job"
)

// full returns a record in which every field is set.
func full() Record {
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 10, minute, 0, 0, time.UTC) }
	return Record{
		Line: "5f0c1d2e3b4a59687786a5b4c3d2e1f0", Name: "flights", Epoch: 7, Run: "00112233445566778899aabbccddeeff",
		Jobs: []Job{
			{ID: job.ID{1, 2, 3}, Began: at(0), First: 1},
			{ID: job.ID{4, 5, 6}, Began: at(1), First: 201, Fresh: true},
			{ID: job.ID{7, 8, 9}, Began: at(2), First: 301, From: &Snapshot{
				Path: "out/_checkpoints/04050600000000000000000000000000/chk-210", Job: job.ID{4, 5, 6}, Checkpoint: 210,
				Line: "5f0c1d2e3b4a59687786a5b4c3d2e1f0", Epoch: 5}},
		},
		Reserved: 500, Completed: 402,
		Stop: &Stop{Savepoint: Snapshot{Path: "savepoints/savepoint-070809-00112233aabb", Job: job.ID{7, 8, 9}, Checkpoint: 399,
			Line: "5f0c1d2e3b4a59687786a5b4c3d2e1f0", Epoch: 6}, Drained: true},
		End: &End{State: Failed, At: at(30), Reason: "flights.csv:17: column \"delay\" is <missing>", Kept: true, Stopped: true,
			Savepoint: &Snapshot{Path: "savepoints/savepoint-070809-33445566ccdd", Job: job.ID{7, 8, 9}, Checkpoint: 403}},
		Sources:   map[string]string{"flights": "flights.csv.gz"},
		Sinks:     map[string]string{"hourly": "out/hourly", "routes": "out/routes"},
		Logs:      []Log{{Dir: "s3://fast/log", Of: "s3://bucket/checkpoints"}},
		Spread:    []Spread{{Before: "s3://bucket/", Length: 4, After: "/checkpoints"}},
		Damaged:   []Damage{{Checkpoint: 12, Why: "chk-12/3f: checksum 1d0c9a7e, want 77aa0102", Found: at(3)}},
		Abandoned: []Range{{12, 100}, {211, 300}},
	}
}

// TestOlder shows that records of older formats are still read.
func TestOlder(t *testing.T) {
	for format, without := range map[string]func(r *Record){
		"format1": func(r *Record) { r.Logs, r.Spread, r.Stop, r.End.Stopped, r.End.Savepoint = nil, nil, nil, false, nil },
		"format2": func(r *Record) { r.Logs, r.Spread, r.End.Savepoint = nil, nil, nil },
		"format3": func(r *Record) { r.Logs, r.Spread = nil, nil },
	} {
		golden, err := os.ReadFile("testdata/" + format + ".line")
		if err != nil {
			t.Fatal(err)
		}
		r, err := Decode(golden)
		if err != nil {
			t.Fatal(err)
		}
		want := full()
		without(&want)
		if !reflect.DeepEqual(r, want) {
			t.Errorf("%s: read %+v\nwant %+v", format, r, want)
		}
	}
}

// TestGolden shows that a record is written and read as it was when the format was frozen. The file is rewritten by -update only as long
// as the format is not released.
func TestGolden(t *testing.T) {
	const path = "testdata/format4.line"
	data, err := Encode(full())
	if err != nil {
		t.Fatal(err)
	}
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, golden) {
		t.Errorf("the written form has changed:\n%s\nwant:\n%s", data, golden)
	}
	r, err := Decode(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r, full()) {
		t.Errorf("read %+v\nwant %+v", r, full())
	}
}

// TestDecodeDamaged shows that no single changed or missing byte goes unnoticed.
func TestDecodeDamaged(t *testing.T) {
	data, err := Encode(full())
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		changed := bytes.Clone(data)
		changed[i] ^= 0x04
		if _, err := Decode(changed); err == nil {
			t.Errorf("byte %d changed from %q to %q: no error", i, data[i], changed[i])
		}
		if _, err := Decode(data[:i]); err == nil {
			t.Errorf("cut off after %d bytes: no error", i)
		}
	}
}

// TestDecodeSays shows what a user reads about a record that cannot be used.
func TestDecodeSays(t *testing.T) {
	data, err := Encode(full())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, data, want string }{
		{"empty", "", `it begins with "", not with "weir job line, format 4": damaged, or written by a newer version`},
		{"newer", "weir job line, format 5\n{}", `it begins with "weir job line, format 5", not with "weir job line, format 4": damaged, or written by a newer version`},
		{"cut", "weir job line, format 4\n{", `it is cut off`},
		{"changed", strings.Replace(string(data), "402", "403", 1), `checksum: it ends in "crc32c `},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Decode([]byte(c.data)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// TestValidate shows which records are refused, when written and when read.
func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Record)
		want   string
	}{
		{"no line", func(r *Record) { r.Line = "" }, "both must be set"},
		{"no epoch", func(r *Record) { r.Epoch = 0 }, "the first is 1"},
		{"no job", func(r *Record) { r.Jobs = nil }, "no job id"},
		{"negative", func(r *Record) { r.Completed = -1 }, "below 0"},
		{"not reserved", func(r *Record) { r.Completed = r.Reserved + 1 }, "only the ids up to 500 were reserved"},
		{"unknown end", func(r *Record) { r.End.State = "GONE" }, `end "GONE" is none of`},
		{"no log", func(r *Record) { r.Logs[0].Of = "" }, "without a path"},
		{"nothing random", func(r *Record) { r.Spread[0].Length = 0 }, "random characters"},
		{"overlap", func(r *Record) { r.Abandoned = []Range{{1, 5}, {5, 9}} }, "ascend and do not overlap"},
		{"backwards", func(r *Record) { r.Abandoned = []Range{{5, 1}} }, "ascend and do not overlap"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := full()
			c.change(&r)
			if _, err := Encode(r); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// TestEncodeForgetsOldestRanges shows that a line which is restarted without end does not grow its record without end.
func TestEncodeForgetsOldestRanges(t *testing.T) {
	r := full()
	r.Abandoned = nil
	for i := range job.CheckpointID(maxRanges + 10) {
		r.Abandoned = append(r.Abandoned, Range{10*i + 1, 10*i + 2})
	}
	data, err := Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if err != nil || len(got.Abandoned) != maxRanges || got.Abandoned[0].From != 101 {
		t.Errorf("%d ranges from %v (%v), want the newest %d", len(got.Abandoned), got.Abandoned[0], err, maxRanges)
	}
}

// TestAbandon shows that ranges stay in order and join where they touch.
func TestAbandon(t *testing.T) {
	for _, c := range []struct {
		name     string
		was      []Range
		from, to job.CheckpointID
		want     []Range
	}{
		{"first", nil, 3, 9, []Range{{3, 9}}},
		{"none", []Range{{3, 9}}, 12, 11, []Range{{3, 9}}},
		{"apart", []Range{{3, 9}}, 11, 12, []Range{{3, 9}, {11, 12}}},
		{"touching", []Range{{3, 9}}, 10, 12, []Range{{3, 12}}},
		{"inside", []Range{{3, 9}}, 4, 5, []Range{{3, 9}}},
		{"over several", []Range{{3, 4}, {6, 7}, {20, 21}}, 2, 19, []Range{{2, 21}}},
		{"before", []Range{{30, 40}}, 3, 9, []Range{{3, 9}, {30, 40}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Record{Abandoned: c.was}.clone()
			r.abandon(c.from, c.to)
			if !reflect.DeepEqual(r.Abandoned, c.want) {
				t.Errorf("got %v, want %v", r.Abandoned, c.want)
			}
		})
	}
}

// TestIDs shows that ids come in order, block after block, and end where nothing is reserved.
func TestIDs(t *testing.T) {
	var ids IDs
	if _, ok := ids.Take(); ok {
		t.Error("an id without a reservation")
	}
	r, block := Record{Reserved: 7}.Reserve(2)
	ids.Add(block)
	first, _ := ids.Take()
	_, block = r.Reserve(1)
	ids.Add(block)
	second, _ := ids.Take()
	third, _ := ids.Take()
	if first != 8 || second != 9 || third != 10 || ids.Left() != 0 {
		t.Errorf("took %d %d %d, %d left; want 8 9 10, none left", first, second, third, ids.Left())
	}
}

// TestRecordIsAValue shows that no method changes its receiver, so that a record which could not be written is still the old one.
func TestRecordIsAValue(t *testing.T) {
	r := full()
	r.Reserve(3)
	r.WithCompleted(450)
	r.Ended(End{State: Canceled})
	s := Situation{Name: "flights", Record: &r, Sinks: map[string]string{"new": "out/new"}, Found: []Found{
		{Snapshot: Snapshot{Path: "a", Job: r.Job().ID, Checkpoint: 402}}, {Snapshot: Snapshot{Path: "b", Job: r.Job().ID, Checkpoint: 401}}}}
	s.Learn("a", Damaged, "length")
	s.Learn("b", Good, "")
	s.Answered(nil)
	if v := Decide(&s); v.Do != Resume {
		t.Errorf("%s: %s", v.Do, v.Text)
	}
	if !reflect.DeepEqual(r, full()) {
		t.Errorf("changed to %+v", r)
	}
}

// FuzzDecode shows that no input makes Decode panic, and that what it accepts is written and read back as the same record.
func FuzzDecode(f *testing.F) {
	data, err := Encode(full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	small, err := Encode(Record{Line: "l", Name: "n", Epoch: 1, Run: "r", Jobs: []Job{{}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Decode(sealed(data))
		if err != nil {
			return
		}
		again, err := Encode(r)
		if err != nil {
			t.Fatalf("cannot be written again: %v", err)
		}
		back, err := Decode(again)
		if err != nil {
			t.Fatalf("cannot be read again: %v\n%s", err, again)
		}
		if twice, err := Encode(back); err != nil || !bytes.Equal(again, twice) {
			t.Fatalf("%v\n%s\nis not\n%s", err, twice, again)
		}
	})
}

// sealed puts the right checksum under data that has a head, so that fuzzing gets past it.
func sealed(data []byte) []byte {
	end := bytes.LastIndexByte(bytes.TrimSuffix(data, []byte("\n")), '\n') + 1
	if !bytes.HasPrefix(data, []byte(head)) || end < len(head) {
		return data
	}
	return fmt.Appendf(bytes.Clone(data[:end]), tail, crc32.Checksum(data[:end], castagnoli))
}
