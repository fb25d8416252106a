package config

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// knownBackend is a state backend that comes with Weir or with Flink. Others have the names under which programs register them.
type knownBackend uint8

const (
	heapBackend    knownBackend = iota // in memory
	pebbleBackend                      // on the local disk
	rocksDBBackend                     // Pebble stands in for it
	forStBackend                       // not built
)

const backendIsNoStorage = "this says where checkpoints go, not where state lives; " +
	"write hashmap here and set execution.checkpointing.storage to this"

var backends = &enum[knownBackend]{
	names:    [][]string{{"hashmap", "heap"}, {"pebble"}, {"rocksdb"}, {"forst"}},
	hints:    map[string]string{"jobmanager": backendIsNoStorage, "filesystem": backendIsNoStorage},
	register: "state.RegisterBackend",
	classes: map[string]string{
		"memorystate": "hashmap, and jobmanager for execution.checkpointing.storage",
		"fsstate":     "hashmap, and filesystem for execution.checkpointing.storage",
	},
}

// parseBackend reads the name of a state backend. Whether the program has one that does not come with Weir is not known here.
func parseBackend(raw string) (string, error) {
	name := strings.TrimSpace(raw)
	known, err := backends.parse(name)
	switch {
	case err == nil && known == forStBackend:
		return "", errors.New("state on remote storage is not available yet; write pebble, which keeps it on the local disk")
	case err == nil:
		return backends.name(known), nil
	case backends.hints[strings.ToLower(name)] == "" && name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == "":
		return name, nil
	}
	return "", err
}

// ChangelogStorage says where the changelog of the state goes.
type ChangelogStorage uint8

// The places for a changelog.
const (
	MemoryChangelog ChangelogStorage = iota
	FilesystemChangelog
)

var changelogStorages = &enum[ChangelogStorage]{names: [][]string{{"memory"}, {"filesystem"}}}

// String returns the name that configurations use.
func (s ChangelogStorage) String() string { return changelogStorages.name(s) }

// mostInterval and mostHistory are numbers beyond which nothing is measured any more, or too much kept for what it says.
const mostInterval, mostHistory = 1 << 30, 1 << 16

// The options of the state of a running job.
var (
	StateBackend = declare("name of a state backend", parseBackend, func(s string) string { return s }, spec[string]{
		Key: "state.backend.type", Aliases: []string{"state.backend"}, Default: new("hashmap"), Built: true,
		Doc: "Where the keyed state of a running job lives. `hashmap`, also called `heap`: in memory. `pebble`, also called `rocksdb`: on the " +
			"local disk, for programs that import `state/pebble`. Any other name is that of a backend which the program registers " +
			"with `state.RegisterBackend`; it gets the options that begin with `state.backend.<name>.`. The old key `state.backend` also " +
			"takes `filesystem` and `jobmanager`, which mean `hashmap` with that `execution.checkpointing.storage`.",
	})

	BackendCache = sizeOption(spec[int64]{
		Key: "state.backend.cache-size", Default: new(int64(256 << 20)), Built: true, Check: atLeastSize(64 << 10),
		Doc: "The memory for rows in use, of all subtasks of a step together, where the state backend keeps state elsewhere than in memory. " +
			"A record whose key is there costs no access to the backend. The backend's own memory comes on top.",
	})

	PebbleDir = stringOption(spec[string]{
		Key: "state.backend.pebble.localdir", Aliases: []string{"state.backend.rocksdb.localdir"}, Built: true,
		Doc: "The directory for the state of running jobs, best on a fast local disk. Each process has a directory of its own in it, which the " +
			"next one sweeps if a crash has left it behind. Without it, `weir-state` in the directory for temporary files.",
	})

	PebbleMemory = sizeOption(spec[int64]{
		Key: "state.backend.pebble.memory.fixed-per-tm", Aliases: []string{"state.backend.rocksdb.memory.fixed-per-tm"},
		Default: new(int64(256 << 20)), Built: true, Check: atLeastSize(1 << 20),
		Doc: "The memory for blocks that were read and for writes that are not on disk yet, of all subtasks of a process together.",
	})

	PebbleWriteRatio = floatOption(spec[float64]{
		Key: "state.backend.pebble.memory.write-buffer-ratio", Aliases: []string{"state.backend.rocksdb.memory.write-buffer-ratio"},
		Default: new(0.5), Built: true,
		Check: func(v float64) error {
			if v <= 0 || v >= 1 {
				return errors.New("write a number between 0 and 1")
			}
			return nil
		},
		Doc: "The part of `state.backend.pebble.memory.fixed-per-tm` that writes may take.",
	})

	PebbleThreads = intOption(spec[int]{
		Key:     "state.backend.pebble.checkpoint.transfer.thread.num",
		Aliases: []string{"state.backend.rocksdb.checkpoint.transfer.thread.num"}, Default: new(4), Built: true, Check: between(1, 256),
		Doc: "How many files of the state of one subtask are written to a checkpoint at once, and read from it when it is restored.",
	})

	PebbleBlockSize = sizeOption(spec[int64]{
		Key: "state.backend.pebble.block.blocksize", Aliases: []string{"state.backend.rocksdb.block.blocksize"},
		Default: new(int64(4 << 10)), Built: true, Check: atLeastSize(512),
		Doc: "How much is read from disk for one row that is in no cache, before compression.",
	})

	PebbleBloomBits = intOption(spec[int]{
		Key:     "state.backend.pebble.bloom-filter.bits-per-key",
		Aliases: []string{"state.backend.rocksdb.bloom-filter.bits-per-key"}, Default: new(10), Built: true, Check: between(0, 64),
		Doc: "The bits for each key by which most files that do not have a row are not read for it; 0 for none.",
	})

	AsyncSnapshots = boolOption(spec[bool]{
		Key: "state.backend.async", Default: new(true), Built: true,
		Check: func(async bool) error {
			if !async {
				return errors.New("not offered: snapshots are always written beside the processing; remove it")
			}
			return nil
		},
		Deprecated: "snapshots are always written beside the processing; remove it",
		Doc:        "Deprecated and without effect: snapshots are always written beside the processing. `false` is refused.",
	})

	LatencyTracking = boolOption(spec[bool]{
		Key:     "state.latency-track.keyed-state-enabled",
		Aliases: []string{"state.backend.latency-track.keyed-state-enabled"}, Default: new(false), Built: true,
		Doc: "Whether the time of accesses to keyed state is measured, by state and kind of access. Off, it costs nothing.",
	})

	LatencySampleInterval = intOption(spec[int]{
		Key:     "state.latency-track.sample-interval",
		Aliases: []string{"state.backend.latency-track.sample-interval"}, Default: new(100), Built: true, Check: between(1, mostInterval),
		Doc: "Of so many records, on average, one is chosen whose accesses are measured, all of them.",
	})

	LatencyHistorySize = intOption(spec[int]{
		Key:     "state.latency-track.history-size",
		Aliases: []string{"state.backend.latency-track.history-size"}, Default: new(128), Built: true, Check: between(1, mostHistory),
		Doc: "How many measurements are kept, of each kind of access to each state in each subtask. What is told is about the newest so many.",
	})

	LatencyStateName = boolOption(spec[bool]{
		Key:     "state.latency-track.state-name-as-variable",
		Aliases: []string{"state.backend.latency-track.state-name-as-variable"}, Default: new(true), Built: true,
		Doc: "Whether the name of a state is a label of the metric, `state_name`, or else a part of its name.",
	})

	SizeTracking = boolOption(spec[bool]{
		Key: "state.size-track.keyed-state-enabled", Default: new(false), Built: true,
		Doc: "Whether the sizes of keys and values are measured that are read from keyed state and written to it. Off, it costs nothing.",
	})

	SizeSampleInterval = intOption(spec[int]{
		Key: "state.size-track.sample-interval", Default: new(100), Built: true, Check: between(1, mostInterval),
		Doc: "As `state.latency-track.sample-interval`.",
	})

	SizeHistorySize = intOption(spec[int]{
		Key: "state.size-track.history-size", Default: new(128), Built: true, Check: between(1, mostHistory),
		Doc: "As `state.latency-track.history-size`.",
	})

	SizeStateName = boolOption(spec[bool]{
		Key: "state.size-track.state-name-as-variable", Default: new(true), Built: true,
		Doc: "As `state.latency-track.state-name-as-variable`.",
	})

	Changelog = boolOption(spec[bool]{
		Key: "state.changelog.enabled", Aliases: []string{"state.backend.changelog.enabled"}, Default: new(false), Built: true,
		Doc: "Whether checkpoints hold a log of what has changed in the keyed state since the whole was written, which happens beside them. Then " +
			"they are short whatever the backend is doing, at the price of more state to write, to keep and to read in a restore. It can be " +
			"switched on and off between two starts.",
	})

	ChangelogStorageOption = enumOption(changelogStorages, spec[ChangelogStorage]{
		Key: "state.changelog.storage", Aliases: []string{"state.backend.changelog.storage"}, Default: new(MemoryChangelog), Built: true,
		Doc: "Where the log is kept. `memory`: in the metadata of each checkpoint, all of it every time, which is for small states and for " +
			"trying it out. `filesystem`: in files, each written once.",
	})

	ChangelogMaxFailures = intOption(spec[int]{
		Key: "state.changelog.max-failures-allowed", Aliases: []string{"state.backend.changelog.max-failures-allowed"},
		Default: new(3), Built: true, Check: atLeast(0),
		Doc: "How many times in a row the whole state may fail to be written beside the log; once more fails the subtask.",
	})

	PeriodicMaterialization = boolOption(spec[bool]{
		Key:     "state.changelog.periodic-materialize.enabled",
		Aliases: []string{"state.backend.changelog.periodic-materialize.enabled"}, Default: new(true), Built: true,
		Doc: "Whether the whole state is written from time to time, so that the log before it can go. Without it the log grows until the job is " +
			"started anew or a full checkpoint is taken.",
	})

	MaterializationInterval = declare("duration", parseSigned, formatSigned, spec[time.Duration]{
		Key:     "state.changelog.periodic-materialize.interval",
		Aliases: []string{"state.backend.changelog.periodic-materialize.interval"}, Default: new(10 * time.Minute), Built: true,
		Check: func(v time.Duration) error {
			if v >= 0 && v < time.Millisecond {
				return errors.New("too short; the least is 1 ms, and a negative one means none")
			}
			return nil
		},
		Doc: "The time from one writing of the whole state to the next, in each subtask; the first comes after a part of it that differs between " +
			"subtasks. Negative: none, as without `state.changelog.periodic-materialize.enabled`.",
	})

	ChangelogBasePath = stringOption(spec[string]{
		Key: "dstl.dfs.base-path", Built: true,
		Doc: "The directory for the log with `state.changelog.storage: filesystem`. It lies there in `<job id>/changelog`, and the job's record " +
			"says so, for `weir gc`. Without it, in the directory of the job's checkpoints.",
	})

	ChangelogPersistThreshold = sizeOption(spec[int64]{
		Key: "dstl.dfs.preemptive-persist-threshold", Default: new(int64(5 << 20)), Built: true, Check: atLeastSize(4 << 10),
		Doc: "How many bytes of the log a subtask keeps in memory between two checkpoints before it writes them. State on the heap keeps none.",
	})

	ChangelogCompression = boolOption(spec[bool]{
		Key: "dstl.dfs.compression.enabled", Default: new(false), Built: true,
		Doc: "Whether the log is compressed. The whole state that is written beside it is not, see `execution.checkpointing.snapshot-compression`.",
	})
)

// parseSigned reads a duration that may be negative.
func parseSigned(raw string) (time.Duration, error) {
	if rest, negative := strings.CutPrefix(strings.TrimSpace(raw), "-"); negative {
		v, err := ParseDuration(rest)
		return -v, err
	}
	return ParseDuration(raw)
}

func formatSigned(v time.Duration) string {
	if v < 0 {
		return "-" + FormatDuration(-v)
	}
	return FormatDuration(v)
}

// Tracking says how something is measured of accesses to keyed state; zero: not at all.
type Tracking struct {
	Interval int  // of so many records one is measured, on average
	History  int  // measurements that are kept
	Labelled bool // the name of a state is a label
}

// StateTracking returns how the time of accesses to keyed state is measured, and how the sizes of keys and values.
func (c *Config) StateTracking() (latency, sizes Tracking) {
	if Get(c, LatencyTracking) {
		latency = Tracking{Get(c, LatencySampleInterval), Get(c, LatencyHistorySize), Get(c, LatencyStateName)}
	}
	if Get(c, SizeTracking) {
		sizes = Tracking{Get(c, SizeSampleInterval), Get(c, SizeHistorySize), Get(c, SizeStateName)}
	}
	return latency, sizes
}

// ChangelogSettings say how changes of keyed state are logged.
type ChangelogSettings struct {
	Enabled     bool
	Storage     ChangelogStorage
	BasePath    string        // a local path or a URL; empty for the directory of the job's checkpoints
	MaxFailures int           // in a row
	Interval    time.Duration // of materialisations; 0 for none
	Persist     int64         // bytes
	Compress    bool
}

// Changelog returns how changes of keyed state are logged.
func (c *Config) Changelog() ChangelogSettings {
	s := ChangelogSettings{
		Enabled: Get(c, Changelog), Storage: Get(c, ChangelogStorageOption), BasePath: plainPath(Get(c, ChangelogBasePath)),
		MaxFailures: Get(c, ChangelogMaxFailures), Persist: Get(c, ChangelogPersistThreshold),
		Compress: Get(c, ChangelogCompression),
	}
	if Get(c, PeriodicMaterialization) {
		s.Interval = max(0, Get(c, MaterializationInterval))
	}
	return s
}

// oldBackendPair translates the values that state.backend had when it named the checkpoint storage too; nil for any other
// setting.
func oldBackendPair(s setting) []claim {
	old := strings.ToLower(strings.TrimSpace(s.value))
	if s.key != "state.backend" || old != "filesystem" && old != "jobmanager" {
		return nil
	}
	backend, storage := s, s
	backend.value, storage.value = backends.name(heapBackend), old
	note := notef("%s: %s (%s) is the old form of %s: %s and %s: %s; write these",
		s.key, s.value, s.origin, StateBackend.key, backend.value, CheckpointStorage.key, storage.value)
	return []claim{
		{StateBackend.declaration, value{setting: backend, alias: 1}},
		{CheckpointStorage.declaration, value{setting: storage, alias: len(CheckpointStorage.aliases) + 1, note: note}},
	}
}

// Backend is what is said of the state backend.
type Backend struct {
	Type  string // hashmap, pebble, rocksdb, or a name that the program knows
	Cache int64  // the memory for rows in use, in bytes
	// Threads is how many files of a subtask's state are transferred at once.
	Threads int
}

// Backend returns where the state of the running job lives.
func (c *Config) Backend() Backend {
	return Backend{Type: Get(c, StateBackend), Cache: Get(c, BackendCache), Threads: Get(c, PebbleThreads)}
}

const backendPrefix = "state.backend."

// BackendSettings returns the options that begin with state.backend.<name>., without that prefix. Sizes are in bytes.
func (c *Config) BackendSettings(name string) map[string]string {
	out := map[string]string{}
	for d, v := range c.values {
		rest, ok := strings.CutPrefix(d.key, backendPrefix+name+".")
		if !ok {
			continue
		}
		out[rest] = v.value
		if size, isSize := v.parsed.(int64); isSize {
			out[rest] = strconv.FormatInt(size, 10)
		}
	}
	for key, s := range c.own {
		if rest, ok := strings.CutPrefix(key, backendPrefix+name+"."); ok {
			out[rest] = s.value
		}
	}
	return out
}

// maybeOwn reports whether a key may be for a state backend that the program registers: whether it is, is known once all is read.
func maybeOwn(key string) bool {
	rest, ok := strings.CutPrefix(key, backendPrefix)
	name, more, dotted := strings.Cut(rest, ".")
	return ok && dotted && more != "" && !backends.known(name) && name != "latency-track" && name != "changelog" && name != "fs"
}

// settleOwn refuses the keys that are for another backend than the job's.
func (l *loader) settleOwn() {
	prefix := backendPrefix + Get(l.cfg, StateBackend) + "."
	for _, key := range slices.Sorted(maps.Keys(l.cfg.own)) {
		if s := l.cfg.own[key]; !strings.HasPrefix(key, prefix) {
			delete(l.cfg.own, key)
			l.unknown(s)
		}
	}
}
