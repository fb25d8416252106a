package main

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"unsafe"
)

// restore: 10 M int64 keys with a count come back from a file. The limit reads the page image of p tables and verifies a checksum; it
// needs no look at any key. "warm" files are in the system's page cache, "cold" ones are not.
var restore = program{
	name:  "restore",
	about: "10 M keys from a checkpoint, against reading the image of the table",
	workloads: []workload{
		restoreFrom("warm", readIntoCache),
		restoreFrom("cold", dropFromCache),
	},
}

// readIntoCache reads a file. The engine writes large ones past the page cache.
func readIntoCache(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}

func restoreFrom(name string, prepare func(path string) error) workload {
	return workload{
		name: name, size: size{events: 10_000_000}, quick: few, cold: true, compared: eventsPerSecond,
		limit:   side{name: "limit", run: func(t *task) (outcome, error) { return restoreTables(t, prepare) }},
		engines: restoreEngines(prepare, bar{Figure: wallSeconds, AtMost: 1}, bar{Figure: "ratio_wall", AtLeast: 0.2, Goal: 0.5}),
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// restoreTables is the limit: it writes p tables with the keys 1 .. events to files, prepares these, and measures the way back.
func restoreTables(t *task, prepare func(path string) error) (outcome, error) {
	tables, sums := countTables(t.parallelism)
	for key := range t.events {
		w := workerOf(hashOf(key+1), uint64(t.parallelism))
		tables[w].increment(key+1, hashOf(key+1))
	}
	images := make([]image, t.parallelism)
	for i, table := range tables {
		var err error
		if images[i], err = writeImage(filepath.Join(t.dir, fmt.Sprintf("table-%d", i)), table); err != nil {
			return outcome{}, err
		}
		if err := prepare(images[i].path); err != nil {
			return outcome{}, err
		}
		tables[i] = nil
	}
	// A process that restores is new, so its memory is: give back what building the tables took.
	debug.FreeOSMemory()
	errs := make([]error, t.parallelism)
	t.meter.Start()
	inParallel(t.parallelism, func(index int) { tables[index], errs[index] = readImage(images[index]) })
	t.meter.Stop()
	if err := errors.Join(errs...); err != nil {
		return outcome{}, err
	}
	for i, table := range tables {
		sums[i] = table.tally()
	}
	return outcome{tally: total(sums)}, nil
}

// image is a file with the slots of a table as they lie in memory.
type image struct {
	path     string
	used     int
	slots    int
	checksum uint32
}

func writeImage(path string, t *countTable) (image, error) {
	bytes := slotBytes(t.slots)
	f, err := os.Create(path)
	if err != nil {
		return image{}, err
	}
	_, err = f.Write(bytes)
	// Synced, so that the file's pages are clean and can be dropped from the cache.
	err = errors.Join(err, f.Sync(), f.Close())
	return image{path, t.used, len(t.slots), crc32.Checksum(bytes, castagnoli)}, err
}

// readImage checks each piece while it is still in the processor's cache.
func readImage(im image) (*countTable, error) {
	f, err := os.Open(im.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := &countTable{used: im.used}
	t.resize(im.slots)
	const piece = 256 << 10
	sum := uint32(0)
	for rest := slotBytes(t.slots); len(rest) > 0; {
		n := min(piece, len(rest))
		if _, err := io.ReadFull(f, rest[:n]); err != nil {
			return nil, fmt.Errorf("read image %s: %w", im.path, err)
		}
		sum = crc32.Update(sum, castagnoli, rest[:n])
		rest = rest[n:]
	}
	if sum != im.checksum {
		return nil, fmt.Errorf("read image %s: checksum %08x, want %08x", im.path, sum, im.checksum)
	}
	return t, nil
}

// slotBytes is the memory of the slots. Only this machine can read it back, which is what makes it a limit.
func slotBytes(slots []slot) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(slots))), len(slots)*int(unsafe.Sizeof(slot{})))
}
