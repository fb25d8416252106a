// Flights is a whole job over real data: 200,000 departures in the United States in January 2001, read from a file, grouped in three ways, and
// written to files exactly once. Kill it as often as you like and run the same command again: the output is that of a run that nobody
// disturbed.
//
//	go run ./examples/flights
//
// The output folder then holds, as CSV:
//
//   - hourly: the departures of each airport in each hour, by a window of the library;
//   - routes: the departures on each route on each day, by a processor with a timer at the day's end;
//   - streaks: at each airport, runs of at least five late departures in a row, by a processor that puts departures in order.
//
// The data are from the US Bureau of Transportation Statistics and public.
package main

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/file"
)

const sampleName = "flights-200k.csv.gz"

//go:embed flights-200k.csv.gz
var sample embed.FS

// disorder is how far behind a later departure an earlier one may stand in the input.
const disorder = time.Hour

// late is the delay, in minutes, from which on a departure counts as late.
const late = 15

// Flight is one row of the input. Distance is in miles; Delay is that of the departure in minutes, negative if it was early.
type Flight struct {
	Date        time.Time `csv:"date,layout=2006-01-02T15:04"`
	Origin      string
	Destination string
	Distance    int64
	Delay       int64
}

func main() { weir.Main("flights", build) }

func build(j *weir.Job) error {
	input := j.Args().String("input", "", "file to read, also .gz or .zst, or folder of such files; without it the sample in the program")
	output := j.Args().String("output", "flights-out", "folder for the results")
	rate := j.Args().Float("rate", 20000, "records per second, 0 for as fast as it can")
	source, err := flightsFrom(input, rate)
	if err != nil {
		return err
	}
	j.Checkpoint(checkpoint.Every(time.Second), checkpoint.Dir(filepath.Join(output, "_checkpoints")),
		checkpoint.Retain(3), checkpoint.KeepOnCancel())

	flights := weir.EventTime(weir.From(j, "flights", source), departed, weir.BoundedDisorder(disorder))
	weir.To(hourly(flights), "hourly", results[Hour](output, "hourly"))
	weir.To(routes(flights), "routes", results[RouteDay](output, "routes"))
	weir.To(streaks(flights), "streaks", results[Streak](output, "streaks"))
	return nil
}

func departed(f Flight) time.Time { return f.Date }

// flightsFrom reads a file or folder, or the sample if there is no path.
func flightsFrom(path string, rate float64) (*file.Files[Flight], error) {
	if path == "" {
		return file.CSV[Flight](sampleName, file.FS("sample", sample), file.Rate(rate)), nil
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("flag -input: %w", err)
	}
	return file.CSV[Flight](path, file.Rate(rate)), nil
}

// results writes one of the outputs. When the job goes back further than to its last checkpoint, files that were committed since are moved
// aside, since they come again.
func results[T any](output, name string) *file.Files[T] {
	return file.CSV[T](filepath.Join(output, name), file.Withdraw(true))
}
