package file

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/weirstream/weir/source"
	"github.com/weirstream/weir/source/sourcetest"
)

func gzipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	z.Close()
	return b.Bytes()
}

func zstandard(text string) []byte {
	z, _ := zstd.NewWriter(nil)
	return z.EncodeAll([]byte(text), nil)
}

// rowsAsCSV writes rows with every difficulty that CSV has.
func rowsAsCSV(rows []row) string {
	b := strings.Builder{}
	b.WriteString("other,TEXT,number\r\n")
	for i, r := range rows {
		end := []string{"\n", "\r\n", "\n\n"}[i%3]
		fmt.Fprintf(&b, `x,"%s",%d%s`, strings.ReplaceAll(r.Text, `"`, `""`), r.Number, end)
	}
	return b.String()
}

// TestSourceExactlyOnce shows that each row of plain and compressed files is read once, with restores at any position.
func TestSourceExactlyOnce(t *testing.T) {
	var want []row
	for i := range 60 {
		want = append(want, row{i, fmt.Sprintf("row %d\nof \"many\", all\r\ndifferent\n\n", i)})
	}
	fsys := fstest.MapFS{
		"in/a.csv":          {Data: []byte(rowsAsCSV(want[:20]))},
		"in/b.csv.gz":       {Data: gzipped(rowsAsCSV(want[20:30]))},
		"in/below/c.CSV.GZ": {Data: append(gzipped(rowsAsCSV(want[30:35])), gzipped("x,last of two,99\n")...)},
		"in/d.csv.zst":      {Data: zstandard(rowsAsCSV(want[35:]))},
		"in/empty.csv":      {Data: []byte("number,text")},
		"in/_hidden/e.csv":  {Data: []byte("no")},
		"in/.hidden.csv":    {Data: []byte("no")},
		"in/notes.txt":      {Data: []byte("no")},
	}
	want = append(want, row{99, "last of two"})
	sourcetest.Run(t, sourcetest.Suite[row]{
		Source: func() source.Source[row] { return CSV[row]("in", FS("test", fsys), Match("*.[cC][sS][vV]*")) },
		Want:   want,
	})
	t.Run("at a rate", func(t *testing.T) {
		sourcetest.Run(t, sourcetest.Suite[row]{
			Source: func() source.Source[row] {
				return CSV[row]("in", FS("test", fsys), Match("*.[cC][sS][vV]*"), Rate(1000))
			},
			Want: want,
			Runs: 20,
		})
	})
	t.Run("JSON", func(t *testing.T) {
		fsys := fstest.MapFS{"a.jsonl": {Data: []byte(`{"Number":1,"text":"a"}` + "\n\n" + `{"number":2,"Text":"b\n"}`)}}
		sourcetest.Run(t, sourcetest.Suite[row]{
			Source: func() source.Source[row] { return JSON[row]("a.jsonl", FS("test", fsys)) },
			Want:   []row{{1, "a"}, {2, "b\n"}},
		})
	})
	t.Run("lines", func(t *testing.T) {
		fsys := fstest.MapFS{"a.txt": {Data: []byte("one\r\n\n\"two\nthree")}, "empty.txt": {}}
		sourcetest.Run(t, sourcetest.Suite[string]{
			Source: func() source.Source[string] { return Lines(".", FS("test", fsys)) },
			Want:   []string{"one", "", `"two`, "three"},
		})
	})
}

// readAll reads a source with one reader, three records at a time. With resume it goes on with a new reader after each batch.
func readAll[T any](s source.Source[T], resume bool) ([]T, error) {
	ctx := context.Background()
	e, err := s.Enumerator(ctx, source.EnumeratorEnv{Parallelism: 1}, nil)
	if err != nil {
		return nil, err
	}
	var records []T
	var splits []source.Split
	for {
		split, a, err := e.Next(0)
		if err != nil || a == source.NoMore {
			break
		}
		splits = append(splits, split)
	}
	open := func() (source.Reader[T], error) {
		r, err := s.Reader(ctx, source.ReaderEnv{Parallelism: 1, Now: time.Now, RequestSplit: func() {}})
		if err == nil {
			err = r.AddSplits(splits)
			r.NoMoreSplits()
		}
		return r, err
	}
	r, err := open()
	for err == nil {
		b := source.Batch[T]{Max: 3}
		var status source.Status
		if status, err = r.Poll(&b); err != nil || status == source.End {
			break
		}
		records = append(records, b.Records...)
		if resume {
			splits, _ = r.Snapshot(1)
			r.Close()
			r, err = open()
		}
	}
	return records, err
}

// TestPermanentErrors shows that what a replay would repeat is marked so and names file and line, also after going on from a
// checkpoint.
func TestPermanentErrors(t *testing.T) {
	good := strings.Repeat("1,\"a\nb\"\n", 10) // two lines each, so line 22 follows
	cut := gzipped("number,text\n" + strings.Repeat("1,abcdefgh\n", 1000))
	for name, c := range map[string]struct {
		file string
		data []byte
		want string
	}{
		"not a number":    {"a.csv", []byte("number,text\n" + good + "x,y\n"), `in:a.csv:22: column number: "x" is not a whole number`},
		"out of range":    {"a.csv", []byte("number,text\n99999999999999999999,y\n"), `in:a.csv:2: column number: "99999999999999999999" is out of range`},
		"missing column":  {"a.csv", []byte("no,text\n1,y\n"), "in:a.csv:1: missing column number; the file has no, text"},
		"two candidates":  {"a.csv", []byte("NUMBER,Number,text\n"), `in:a.csv:1: columns "NUMBER" and "Number" could both be "number"`},
		"too few fields":  {"a.csv", []byte("number,text\n" + good + "1\n"), "in:a.csv:22: 1 fields in the row, 2 in the header"},
		"open quote":      {"a.csv", []byte("number,text\n" + good + "1,\"y\n\n\n"), "in:a.csv:22: a quote is opened and never closed"},
		"stray quote":     {"a.csv", []byte("number,text\n1,y\"y\"\n"), "in:a.csv:2: field 2: a quote inside of a field"},
		"after the quote": {"a.csv", []byte("number,text\n1,\"y\"y\n"), "in:a.csv:2: field 2: text after the closing quote"},
		"no header":       {"a.csv", nil, "in:a.csv:1: the file is empty: it has no header"},
		"gzip cut short":  {"a.csv.gz", cut[:len(cut)-20], "the compressed data is damaged or cut short"},
		"gzip damaged":    {"a.csv.gz", append(cut[:len(cut)-6:len(cut)-6], 1, 2, 3, 4, 5, 6), "the compressed data is damaged or cut short"},
		"no gzip":         {"a.csv.gz", []byte("number,text\n"), "in:a.csv.gz: this is no gzip file, as its name says"},
		"no zstd":         {"a.csv.zst", []byte("number,text\n"), "in:a.csv.zst:1: the compressed data is damaged"},
		"endless quote":   {"a.csv", []byte("number,text\n1,\"" + strings.Repeat("x", maxRecord+1)), "in:a.csv:2: a record of more than 16 MiB"},
	} {
		for _, resume := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, resume %v", name, resume), func(t *testing.T) {
				fsys := fstest.MapFS{c.file: {Data: c.data}}
				_, err := readAll(CSV[row](c.file, FS("in", fsys)), resume)
				if err == nil || !source.IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v (permanent %v)\nwant %s", err, source.IsPermanent(err), c.want)
				}
			})
		}
	}
}

// TestCutGzipLine shows that the rows before the damage are read, and that the error names the line at which they end.
func TestCutGzipLine(t *testing.T) {
	var text strings.Builder
	text.WriteString("number,text\n")
	for i := range 60000 {
		fmt.Fprintf(&text, "%d,%x\n", i, i*i)
	}
	data := gzipped(text.String())
	rows, err := readAll(CSV[row]("a.csv.gz", FS("in", fstest.MapFS{"a.csv.gz": {Data: data[:len(data)/2]}})), false)
	var line int
	if _, scan := fmt.Sscanf(fmt.Sprint(err), "in:a.csv.gz:%d:", &line); scan != nil || line < 10000 || line-2 < len(rows) || line-2 > len(rows)+3 {
		t.Errorf("%d rows, then %v", len(rows), err)
	}
}

// TestWrongStart shows the messages about what is wrong before anything is read.
func TestWrongStart(t *testing.T) {
	fsys := fstest.MapFS{"dir/_x": {}, "a.csv": {Data: []byte("a")}}
	type bad struct {
		C chan int
		D time.Duration
		E int `csv:"e,layout=2006"`
		F int `csv:"e"`
		G int `csv:"g,required"`
	}
	for name, c := range map[string]struct {
		source source.Source[row]
		want   string
	}{
		"missing":       {CSV[row]("none.csv", FS("in", fsys)), "read none.csv: there is no such file or folder (in:none.csv): check the path"},
		"missing path":  {CSV[row](t.TempDir() + "/none.csv"), "none.csv): check the path"},
		"empty folder":  {CSV[row]("dir", FS("in", fsys)), "read in:dir: the folder has no file to read"},
		"empty dir":     {CSV[row](t.TempDir()), "the folder has no file to read"},
		"nothing fits":  {CSV[row]("dir", FS("in", fsys), Match("*.csv")), `no file whose name matches "*.csv"`},
		"for writing":   {CSV[row]("a.csv", Withdraw(true)), "option Withdraw: has a meaning only for writing"},
		"rename":        {CSV[row]("a.csv", Rename("x", "nope")), `option Rename("x", "nope"): the record type has no column "nope"`},
		"pattern":       {CSV[row]("a.csv", Match("[")), `option Match("["): syntax error`},
		"JSON of comma": {JSON[row]("a.csv", Comma(';')), "only for CSV"},
		"comma":         {CSV[row]("a.csv", Comma('x')), `option Comma('x')`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(c.source, false)
			if err == nil || !source.IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v\nwant %s", err, c.want)
			}
		})
	}
	err := CSV[bad]("a.csv").CheckSource()
	for _, want := range []string{"field C: type chan int", "field D: a time.Duration", "field E: a layout is for time.Time", `field G: tag "g,required"`} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

// TestChangedFile shows that a file that is not the same any more is refused by name when a job goes on.
func TestChangedFile(t *testing.T) {
	text := "number,text\n" + strings.Repeat("1,a\n", 100)
	for name, c := range map[string]struct{ changed, want string }{
		"grown":    {text + "2,b\n", "in:a.csv: the file has changed since the job began: it had 412 bytes and has 416"},
		"replaced": {strings.Replace(text, "1,a", "2,a", 1), "in:a.csv: the file has changed since the job began: it begins with other data"},
		"gone":     {"", "in:a.csv: there is no such file; it was there when the job began"},
	} {
		t.Run(name, func(t *testing.T) {
			s := CSV[row]("a.csv", FS("in", fstest.MapFS{"a.csv": {Data: []byte(text)}}))
			e, err := s.Enumerator(context.Background(), source.EnumeratorEnv{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var none []split
			split, _, _ := e.Next(0)
			known, _ := decodeSplit(split.Data)
			fsys := fstest.MapFS{"a.csv": {Data: []byte(c.changed)}}
			if c.changed == "" {
				fsys = fstest.MapFS{}
			}
			_, err = s.open(root{fsys, "in:", "a.csv"}, known)
			if err == nil || !source.IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v\nwant %s", err, c.want)
			}

			// A job that goes on learns it before it begins, from a reader with the split and from an enumerator that still has it.
			if c.changed == "" {
				fsys["other.csv"] = &fstest.MapFile{}
			}
			r := &reader[row]{files: s, root: root{fsys, "in:", "a.csv"}}
			if err := r.AddSplits([]source.Split{split}); !source.IsPermanent(err) || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("reader: error %v\nwant %s", err, c.want)
			}
			changed := CSV[row](".", FS("in", fsys))
			_, err = changed.Enumerator(context.Background(), source.EnumeratorEnv{}, encodeSplits(append(none, known)))
			if want := strings.ReplaceAll(c.want, "in:", "in:./"); !source.IsPermanent(err) || !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("enumerator: error %v\nwant %s", err, want)
			}
		})
	}
}

// TestDiskErrorIsNotPermanent shows that a failing disk is told from damaged data: another attempt may succeed.
func TestDiskErrorIsNotPermanent(t *testing.T) {
	in := &input{raw: &tracked{}}
	o := &openFile[row]{display: "a.csv", input: in, scan: newScanner(nil, true)}
	in.raw.failed = errors.New("input/output error")
	if err := o.wrap(in.raw.failed); source.IsPermanent(err) {
		t.Errorf("permanent: %v", err)
	}
}
