package file

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"flag"
	"io"
	"math"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
)

var update = flag.Bool("update", false, "write the golden files anew")

type airport string

type base struct{ ID uint8 }

type everything struct {
	base
	Origin    airport
	WindowEnd time.Time
	Day       time.Time `csv:"day,optional,layout=Mon, 2 Jan 2006"`
	Late      bool
	Small     int8
	Delay     int32
	Count     uint64
	Ratio     float32
	Mean      float64
	Big       big.Int  `csv:"big int"`
	Skipped   chan int `csv:"-"`
}

// TestRoundTrip shows what records of every kind of field look like, and that they come back.
func TestRoundTrip(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8, time.FixedZone("", 3600))
	rows := []everything{
		{base{7}, "LAX", at, at, true, -128, -5, math.MaxUint64, 0.1, 1e6, *big.NewInt(77), nil},
		{base{255}, "a,b\r\n\"c\"", at, time.Time{}, false, 127, math.MinInt32, 0, 1e-9, 1e21, *big.NewInt(-1), nil},
	}
	f := CSV[everything]("x.csv")
	e := f.format.encoder()
	b := e.appendHeader(nil)
	for i := range rows {
		var err error
		if b, err = e.append(b, &rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	want := `id,origin,window_end,day,late,small,delay,count,ratio,mean,big int
7,LAX,2026-03-04T04:06:07Z,"Wed, 4 Mar 2026",true,-128,-5,18446744073709551615,0.1,1000000,77
255,"a,b` + "\r\n" + `""c""",2026-03-04T04:06:07Z,"Mon, 1 Jan 0001",false,127,-2147483648,0,1e-09,1e+21,-1
`
	if string(b) != want {
		t.Errorf("written\n%s\nwant\n%s", b, want)
	}
	again, err := readAll(CSV[everything]("x.csv", FS("in", fstest.MapFS{"x.csv": {Data: b}})), false)
	if err != nil || len(again) != 2 {
		t.Fatalf("%d rows, %v", len(again), err)
	}
	for i, r := range again {
		if r.base != rows[i].base || r.Origin != rows[i].Origin || r.Count != rows[i].Count || r.Mean != rows[i].Mean || r.Ratio != rows[i].Ratio ||
			r.Delay != rows[i].Delay || r.Small != rows[i].Small || r.Late != rows[i].Late || r.Big.Cmp(&rows[i].Big) != 0 ||
			!r.WindowEnd.Equal(at.Truncate(time.Second)) || r.Day.Format(time.DateOnly) != rows[i].Day.UTC().Format(time.DateOnly) {
			t.Errorf("row %d came back as %+v", i, r)
		}
	}
}

// TestHeaders shows how columns are found.
func TestHeaders(t *testing.T) {
	type record struct {
		UserID int
		Note   string `csv:"note,optional"`
		N      int    `csv:",optional"`
	}
	for name, c := range map[string]struct {
		text string
		opts []Option
		want record
	}{
		"as written":            {"user_id,note,n\n5,x,6\n", nil, record{5, "x", 6}},
		"other order and case":  {"NOTE,UserId\nx,5\n", nil, record{5, "x", 0}},
		"byte order mark":       {"\ufeffuser-id,n\n5,\n", nil, record{5, "", 0}},
		"spaces in the header":  {" User Id , note\n5, x \n", nil, record{5, " x ", 0}},
		"no line end":           {"user_id\n5", nil, record{5, "", 0}},
		"without header":        {"x,5\n", []Option{Columns("note", "user_id")}, record{5, "x", 0}},
		"renamed":               {"who;note\n5;x\n", []Option{Rename("who", "user_id"), Comma(';')}, record{5, "x", 0}},
		"exact before the like": {"USERID,user_id\n4,5\n", nil, record{5, "", 0}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(CSV[record]("a.csv", append(c.opts, FS("in", fstest.MapFS{"a.csv": {Data: []byte(c.text)}}))...), false)
			if err != nil || len(got) != 1 || got[0] != c.want {
				t.Errorf("read %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

// TestOneEmptyColumn shows that a row of nothing is not taken for a blank line.
func TestOneEmptyColumn(t *testing.T) {
	type one struct{ S string }
	f := CSV[one]("x.csv")
	e := f.format.encoder()
	b, _ := e.append(e.appendHeader(nil), &one{})
	if got := string(b); got != "s\n\"\"\n" {
		t.Errorf("written %q", got)
	}
}

// TestVectors keeps the forms of the states: they are read forever.
func TestVectors(t *testing.T) {
	head := bytes.Repeat([]byte{0xab}, 32)
	s := split{name: "a/b.csv", size: 300, offset: 200, lines: 5}
	copy(s.head[:], head)
	const splitHex = "0107612f622e637376ac02" + "abababababababababababababababababababababababababababababababab" + "c80105"
	name := partName{line: "0123abcd", epoch: 3, run: "a1", subtask: 2, number: 7, extension: ".csv"}
	prepared := name
	prepared.checkpoint = 42
	for what, c := range map[string]struct {
		got    []byte
		want   string
		decode func([]byte) error
	}{
		"split":      {s.append(nil), splitHex, func(b []byte) error { _, err := decodeSplit(b); return err }},
		"enumerator": {encodeSplits([]split{s}), "01012e" + splitHex, func(b []byte) error { _, err := decodeSplits(b); return err }},
		"in progress": {
			writerState{name.line, 4, true, part{name, 300}}.encode(),
			"0108" + hex.EncodeToString([]byte("0123abcd")) + "041c" + hex.EncodeToString([]byte(".part-0123abcd-e3a1-s2-7.csv")) + "ac02",
			func(b []byte) error { _, err := decodeState(b); return err },
		},
		"nothing in progress": {
			writerState{line: name.line, epoch: 4}.encode(),
			"0108" + hex.EncodeToString([]byte("0123abcd")) + "0400",
			func(b []byte) error { _, err := decodeState(b); return err },
		},
		"pending": {
			part{prepared, 300}.encode(),
			"011f" + hex.EncodeToString([]byte("part-0123abcd-e3a1-c42-s2-7.csv")) + "ac02",
			func(b []byte) error { _, err := decodePart(b); return err },
		},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
		want, _ := hex.DecodeString(c.want)
		if err := c.decode(want); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for n := range want {
			if c.decode(want[:n]) == nil {
				t.Errorf("%s: the first %d bytes alone were taken", what, n)
			}
		}
		if err := c.decode(append([]byte{9}, want[1:]...)); err == nil || !strings.Contains(err.Error(), "of version 9") {
			t.Errorf("%s of version 9: %v", what, err)
		}
	}
}

// TestGoldenJournal reads a journal as it was first written. Run with -update to write it anew, which is a change of format.
func TestGoldenJournal(t *testing.T) {
	name := partName{line: "0123abcd", epoch: 3, run: "a1", subtask: 2, number: 7, extension: ".csv"}
	j := journal{
		line:   sink.Line{ID: "0123 \"x\"", Name: "flights", Epoch: 3},
		asides: []aside{{"_before-20260102T030405Z", 2}},
		copies: []copied{{name.hidden(), strings.Replace(name.hidden(), "a1", "r9f", 1), 300}},
		moves:  []move{{aside{"_withdrawn-20260102T030405Z", 3}, []string{"a", "b"}}},
	}
	name.checkpoint = 42
	j.committed(name)
	if *update {
		if err := os.WriteFile("testdata/journal-1.txt", j.encode(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile("testdata/journal-1.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(j.encode()); got != string(golden) {
		t.Errorf("written\n%s\nwant\n%s", got, golden)
	}
	again, err := decodeJournal(golden)
	if err != nil || string(again.encode()) != string(golden) {
		t.Errorf("read as %+v, %v", again, err)
	}
}

// FuzzJournal shows that no file makes the sink panic, and that what is read is written again.
func FuzzJournal(f *testing.F) {
	golden, _ := os.ReadFile("testdata/journal-1.txt")
	f.Add(golden)
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := decodeJournal(data)
		if err != nil {
			return
		}
		if again, err := decodeJournal(j.encode()); err != nil || !bytes.Equal(again.encode(), j.encode()) {
			t.Errorf("%q: %v", data, err)
		}
	})
}

// FuzzStates shows that no bytes make a decoder panic, and that what is decoded is encoded again.
func FuzzStates(f *testing.F) {
	f.Add(split{name: "a", size: 1}.append(nil))
	f.Add(encodeSplits([]split{{name: "a"}, {name: "b", offset: 7, lines: 1}}))
	f.Add(part{partName{line: "0123abcd", run: "a1", extension: ".csv", checkpoint: 1}, 3}.encode())
	f.Add(writerState{"0123abcd", 3, true, part{partName{line: "0123abcd", run: "a1", extension: ".csv"}, 3}}.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := decodeSplit(data); err == nil {
			if again, err := decodeSplit(s.append(nil)); err != nil || again != s {
				t.Errorf("split %+v came back as %+v, %v", s, again, err)
			}
		}
		if s, err := decodeSplits(data); err == nil {
			if again, err := decodeSplits(encodeSplits(s)); err != nil || !slices.Equal(again, s) {
				t.Errorf("splits %+v came back as %+v, %v", s, again, err)
			}
		}
		if p, err := decodePart(data); err == nil {
			if again, err := decodePart(p.encode()); err != nil || again != p {
				t.Errorf("part %+v came back as %+v, %v", p, again, err)
			}
		}
		if s, err := decodeState(data); err == nil {
			if again, err := decodeState(s.encode()); err != nil || again != s {
				t.Errorf("state %+v came back as %+v, %v", s, again, err)
			}
		}
	})
}

// FuzzPartName shows that a name that is taken for an output file's is exactly one of its two names.
func FuzzPartName(f *testing.F) {
	f.Add("part-0123abcd-e3a1-c42-s2-7.csv")
	f.Add(".part-0123abcd-e3rff-s2-7.csv")
	f.Add("part-0123abcd-e3a1-c0-s2-7.csv")
	f.Fuzz(func(t *testing.T, name string) {
		n, ok := parsePart(name)
		if !ok {
			return
		}
		if n.checkpoint != 0 && n.committed() != name || n.checkpoint == 0 && n.hidden() != name {
			t.Errorf("%q parsed as %+v", name, n)
		}
	})
}

// FuzzCSV compares the rows of our scanner with those of encoding/csv, which reads the same language but for carriage returns, and
// cuts the input at any place.
func FuzzCSV(f *testing.F) {
	f.Add("a,b\n\"x\"\"y\n\",z\n\n,\n")
	f.Add("a\n\"")
	f.Add("\"a\"b\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsRune(text, '\r') {
			return
		}
		r := csv.NewReader(strings.NewReader(text))
		r.FieldsPerRecord = -1
		var want [][]string
		var wantErr error
		for wantErr == nil {
			var row []string
			if row, wantErr = r.Read(); wantErr == nil {
				want = append(want, row)
			}
		}
		got, gotErr := scanAll(&slow{strings.NewReader(text)})
		if (gotErr == io.EOF) != (wantErr == io.EOF) {
			t.Fatalf("%q: %v, encoding/csv says %v", text, gotErr, wantErr)
		}
		if len(got) < len(want) || !slices.EqualFunc(got[:len(want)], want, slices.Equal) {
			t.Errorf("%q: rows %q, encoding/csv says %q", text, got, want)
		}
	})
}

func scanAll(in io.Reader) (rows [][]string, err error) {
	s := newScanner(in, true)
	s.buf = s.buf[:1]
	for {
		record, err := s.next()
		if err != nil {
			return rows, err
		}
		if len(record) == 0 {
			continue
		}
		var row csvRow
		if err := row.split(record, ','); err != nil {
			return rows, err
		}
		var fields []string
		for _, f := range row.fields {
			fields = append(fields, string(f))
		}
		rows = append(rows, fields)
	}
}

// slow reads one byte at a time.
type slow struct{ in io.Reader }

func (s *slow) Read(p []byte) (int, error) { return s.in.Read(p[:min(1, len(p))]) }

// from and to stand for weir.From and weir.To: the types of records are inferred, and one name serves both directions.
func from[T any](source.Source[T]) {}
func to[T any](sink.Sink[T])       {}

// TestInference shows by compiling that no type needs to be written at a call.
func TestInference(t *testing.T) {
	from(Lines("book.txt"))
	from(CSV[row]("in.csv"))
	to(CSV[row]("out"))
}

// BenchmarkCSV reads rows like those of the flights job.
func BenchmarkCSV(b *testing.B) {
	type flight struct {
		Date        time.Time `csv:"date,layout=2006-01-02T15:04"`
		Origin      string
		Destination string
		Distance    int32
		Delay       int32
	}
	const line = "2001-01-01T00:01,LAS,PHL,2176,33\n"
	in := io.MultiReader(strings.NewReader("date,origin,destination,distance,delay\n"), &repeated{line: line, left: b.N})
	o := &openFile[flight]{input: &input{raw: &tracked{}}, scan: newScanner(in, true), decoder: CSV[flight]("x").format.decoder()}
	if err := o.begin(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	batch := source.Batch[flight]{Records: make([]flight, 0, 1024)}
	for b.Loop() {
		batch.Records = batch.Records[:0]
		if err := o.read(&batch, 1); err != nil {
			return
		}
	}
}

// repeated is a line many times over.
type repeated struct {
	line string
	left int
}

func (r *repeated) Read(p []byte) (n int, err error) {
	for len(p)-n >= len(r.line) {
		n += copy(p[n:], r.line)
	}
	return n, nil
}
