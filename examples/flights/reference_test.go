package main

import (
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/crashtest"
)

// row is a row of the input, read without any code of the job.
type row struct {
	at                  time.Time
	origin, destination string
	distance, delay     int
}

const dateForm = "2006-01-02T15:04"

func (r row) String() string {
	return fmt.Sprintf("%s,%s,%s,%d,%d", r.at.Format(dateForm), r.origin, r.destination, r.distance, r.delay)
}

// readSample returns the rows of the sample.
func readSample(t *testing.T) []row {
	t.Helper()
	f, err := os.Open(sampleName)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	c := csv.NewReader(z)
	if _, err := c.Read(); err != nil {
		t.Fatal(err)
	}
	var rows []row
	for {
		fields, err := c.Read()
		if err == io.EOF {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		at, errAt := time.Parse(dateForm, fields[0])
		distance, errDistance := strconv.Atoi(fields[3])
		delay, errDelay := strconv.Atoi(fields[4])
		if err := cmp.Or(errAt, errDistance, errDelay); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row{at, fields[1], fields[2], distance, delay})
	}
}

// reference computes the output of the job by the text of its description: all rows in memory, sorted, in plain Go.
func reference(rows []row) []string {
	out := slices.Concat(referenceHours(rows), referenceRoutes(rows), referenceStreaks(rows))
	slices.Sort(out)
	return out
}

func referenceHours(rows []row) (out []string) {
	type key struct {
		hour   time.Time
		origin string
	}
	hours := map[key][]int{}
	for _, r := range rows {
		k := key{r.at.Truncate(time.Hour), r.origin}
		hours[k] = append(hours[k], r.delay)
	}
	for k, delays := range hours {
		sum, tooLate := 0, 0
		for _, d := range delays {
			sum += d
			if d >= 15 {
				tooLate++
			}
		}
		out = append(out, fmt.Sprintf("hourly: %s,%s,%d,%d,%d,%d",
			k.hour.Format(time.RFC3339), k.origin, len(delays), sum, slices.Max(delays), tooLate))
	}
	return out
}

func referenceRoutes(rows []row) (out []string) {
	flights, miles := map[string]int{}, map[string]int{}
	for _, r := range rows {
		route := r.at.Format(time.DateOnly) + "," + r.origin + "," + r.destination
		flights[route]++
		miles[route] += r.distance
	}
	for route, n := range flights {
		out = append(out, fmt.Sprintf("routes: %s,%d,%d", route, n, miles[route]))
	}
	return out
}

func referenceStreaks(rows []row) (out []string) {
	airports := map[string][]row{}
	for _, r := range rows {
		airports[r.origin] = append(airports[r.origin], r)
	}
	for _, origin := range slices.Sorted(maps.Keys(airports)) {
		departures := airports[origin]
		slices.SortFunc(departures, func(a, b row) int {
			return cmp.Or(a.at.Compare(b.at), strings.Compare(a.destination, b.destination), a.delay-b.delay, a.distance-b.distance)
		})
		for len(departures) > 0 {
			n, sum := 0, 0
			for n < len(departures) && departures[n].delay >= 15 {
				sum += departures[n].delay
				n++
			}
			if n >= 5 {
				out = append(out, fmt.Sprintf("streaks: %s,%s,%s,%d,%d",
					origin, departures[0].at.Format(time.RFC3339), departures[n-1].at.Format(time.RFC3339), n, sum))
			}
			departures = departures[max(n, 1):]
		}
	}
	return out
}

// The job's rows are those of the reference, at every parallelism, for the sample.
func TestSample(t *testing.T) {
	want := reference(readSample(t))
	for _, p := range []string{"1", "2", "3"} {
		if p == "3" && testing.Short() {
			continue
		}
		t.Run("p"+p, func(t *testing.T) { check(t, want, "-p", p) })
	}
}

// check runs the job to its end and compares its rows.
func check(t *testing.T, want []string, args ...string) {
	t.Helper()
	out := t.TempDir()
	code, log := program("--output", out, "--rate", "0").Run(t, args...)
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, log)
	}
	got, err := crashtest.Rows(out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := crashtest.Diff(got, want); diff != "" {
		t.Errorf("%s\nlog:\n%s", diff, log)
	}
}

// The job's rows are those of the reference for rows in other orders, of other days, with ties and with hours and days without any, and
// however they are spread over files.
func TestOtherInputs(t *testing.T) {
	sample := readSample(t)
	cases := []struct {
		name string
		rows []row
	}{
		{"sample shuffled within an hour", shuffled(sample[:30000], 1)},
		{"few airports, many ties", shuffled(invented(20000, 4, 2*time.Minute, 2), 3)},
		{"one airport, always late", shuffled(alwaysLate(3000, 4), 5)},
		{"days without flights", shuffled(invented(2000, 30, 3*time.Hour, 6), 7)},
		{"one row", invented(1, 1, time.Minute, 8)},
		{"before 1970", shuffled(moved(invented(5000, 10, 10*time.Minute, 9), -50*365*24*time.Hour), 10)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := reference(c.rows)
			for _, in := range []string{writeFile(t, c.rows, ".csv"), writeFile(t, c.rows, ".csv.gz"), writeFolder(t, c.rows)} {
				check(t, want, "--input", in, "-p", "1")
				if !testing.Short() {
					check(t, want, "--input", in, "-p", "2")
				}
			}
		})
	}
}

// shuffled returns rows out of order by at most an hour: each is put where one that departed up to an hour later would be.
func shuffled(rows []row, seed uint64) []row {
	random := rand.New(rand.NewPCG(seed, 0))
	type placed struct {
		row
		place time.Time
	}
	all := make([]placed, len(rows))
	for i, r := range rows {
		all[i] = placed{r, r.at.Add(time.Duration(random.Int64N(int64(disorder) + 1)))}
	}
	slices.SortStableFunc(all, func(a, b placed) int { return a.place.Compare(b.place) })
	out := make([]row, len(all))
	for i, p := range all {
		out[i] = p.row
	}
	return out
}

// invented returns rows of a number of airports, with the given mean distance in time.
func invented(n, airports int, distance time.Duration, seed uint64) []row {
	random := rand.New(rand.NewPCG(seed, 0))
	at := time.Date(2024, 2, 28, 22, 0, 0, 0, time.UTC)
	rows := make([]row, n)
	for i := range rows {
		at = at.Add(time.Duration(random.Int64N(2*int64(distance) + 1))).Truncate(time.Minute)
		rows[i] = row{at, "A" + strconv.Itoa(random.IntN(airports)), "B" + strconv.Itoa(random.IntN(3)), 100 * random.IntN(3), 12 + random.IntN(8)}
	}
	return rows
}

func alwaysLate(n int, seed uint64) []row {
	rows := invented(n, 1, time.Minute, seed)
	for i := range rows {
		rows[i].delay = 15 + i%40
	}
	return rows
}

func moved(rows []row, by time.Duration) []row {
	for i := range rows {
		rows[i].at = rows[i].at.Add(by)
	}
	return rows
}

func writeFile(t *testing.T, rows []row, extension string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "flights"+extension)
	write(t, path, rows)
	return path
}

// writeFolder spreads rows over files of different kinds, one after the other.
func writeFolder(t *testing.T, rows []row) string {
	t.Helper()
	dir := t.TempDir()
	for i, extension := range []string{".csv", ".csv.gz", ".csv", ".csv.gz", ".csv"} {
		part := rows[len(rows)*i/5 : len(rows)*(i+1)/5]
		write(t, filepath.Join(dir, fmt.Sprint("part", i, extension)), part)
	}
	return dir
}

func write(t *testing.T, path string, rows []row) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var w io.WriteCloser = f
	if strings.HasSuffix(path, ".gz") {
		w = gzip.NewWriter(f)
	}
	var text strings.Builder
	text.WriteString("date,origin,destination,distance,delay\n")
	for _, r := range rows {
		text.WriteString(r.String() + "\n")
	}
	if _, err := io.WriteString(w, text.String()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w != f {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
