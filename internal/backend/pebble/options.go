package pebble

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Options are the settings of a factory.
type Options struct {
	// Dir is where the directories of running stores are made. It should be on a local disk, and is best not in memory.
	Dir string
	// Memory is what all stores of the process have together for blocks that were read and for writes that are not on disk yet, in bytes.
	// Indexes and filters of open tables are blocks too. Go needs about a fifth more.
	Memory int64
	// WriteRatio is the part of Memory that writes may take. The more, the fewer and larger tables are written.
	WriteRatio float64
	// Threads is how many files one store downloads at once when it is restored.
	Threads int
	// BlockSize is the number of bytes that are read for one row that is not in memory.
	BlockSize int
	// BloomBits is the number of bits for each key by which a look-up in a table that does not have the key is spared; 0 for none.
	BloomBits int
}

// Default returns the options of a factory without settings.
func Default() Options {
	return Options{
		Dir: filepath.Join(os.TempDir(), "weir-state"), Memory: 256 << 20, WriteRatio: 0.5, Threads: 4, BlockSize: 4 << 10, BloomBits: 10,
	}
}

// The settings that ParseOptions knows.
const (
	DirKey        = "localdir"
	MemoryKey     = "memory.fixed-per-tm"
	WriteRatioKey = "memory.write-buffer-ratio"
	ThreadsKey    = "checkpoint.transfer.thread.num"
	BlockSizeKey  = "block.blocksize"
	BloomBitsKey  = "bloom-filter.bits-per-key"
)

// ParseOptions reads settings, which have been checked as options of the configuration where they are declared there. Sizes are in bytes.
func ParseOptions(settings map[string]string) (Options, error) {
	o := Default()
	parse := map[string]func(string) error{
		DirKey:        func(s string) error { o.Dir = s; return nil },
		MemoryKey:     func(s string) (err error) { o.Memory, err = strconv.ParseInt(s, 10, 64); return err },
		WriteRatioKey: func(s string) (err error) { o.WriteRatio, err = strconv.ParseFloat(s, 64); return err },
		ThreadsKey:    func(s string) (err error) { o.Threads, err = strconv.Atoi(s); return err },
		BlockSizeKey:  func(s string) (err error) { o.BlockSize, err = strconv.Atoi(s); return err },
		BloomBitsKey:  func(s string) (err error) { o.BloomBits, err = strconv.Atoi(s); return err },
	}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		set := parse[key]
		if set == nil {
			return o, fmt.Errorf("the backend pebble has no setting %s; it has %s", key, strings.Join(slices.Sorted(maps.Keys(parse)), ", "))
		}
		if err := set(settings[key]); err != nil {
			return o, fmt.Errorf("setting %s of the backend pebble: %w", key, err)
		}
	}
	return o, o.validate()
}

// LeastMemory is what a factory needs at least: it works with less than a real state deserves, so that tests can have a state larger than it.
const LeastMemory = 1 << 20

func (o *Options) validate() error {
	switch {
	case o.Dir == "":
		return fmt.Errorf("setting %s of the backend pebble: it is empty", DirKey)
	case o.Memory < LeastMemory:
		return fmt.Errorf("setting %s of the backend pebble: %d bytes are too little; the least is %d", MemoryKey, o.Memory, LeastMemory)
	case o.WriteRatio <= 0 || o.WriteRatio >= 1:
		return fmt.Errorf("setting %s of the backend pebble: %v does not lie between 0 and 1", WriteRatioKey, o.WriteRatio)
	case o.Threads < 1:
		return fmt.Errorf("setting %s of the backend pebble: %d; the least is 1", ThreadsKey, o.Threads)
	case o.BlockSize < 512 || o.BlockSize > 16<<20:
		return fmt.Errorf("setting %s of the backend pebble: %d does not lie between 512 bytes and 16 MB", BlockSizeKey, o.BlockSize)
	case o.BloomBits < 0 || o.BloomBits > 64:
		return fmt.Errorf("setting %s of the backend pebble: %d does not lie between 0 and 64", BloomBitsKey, o.BloomBits)
	}
	return nil
}
