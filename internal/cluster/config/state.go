package config

import (
	"errors"
	"strings"
	"time"
)

// Backend says where the state of a running job lives.
type Backend uint8

const (
	HeapBackend    Backend = iota // in memory
	PebbleBackend                 // on the local disk; not built
	RocksDBBackend                // not built
	ForStBackend                  // not built
)

const backendIsNoStorage = "this says where checkpoints go, not where state lives; " +
	"write hashmap here and set execution.checkpointing.storage to this"

var backends = &enum[Backend]{
	names: [][]string{{"hashmap", "heap"}, {"pebble"}, {"rocksdb"}, {"forst"}},
	hints: map[string]string{"jobmanager": backendIsNoStorage, "filesystem": backendIsNoStorage},
	classes: map[string]string{
		"memorystate": "hashmap, and jobmanager for execution.checkpointing.storage",
		"fsstate":     "hashmap, and filesystem for execution.checkpointing.storage",
	},
}

func (b Backend) String() string { return backends.name(b) }

// ChangelogStorage says where the changelog of the state goes.
type ChangelogStorage uint8

// The places for a changelog.
const (
	MemoryChangelog ChangelogStorage = iota
	FilesystemChangelog
)

var changelogStorages = &enum[ChangelogStorage]{names: [][]string{{"memory"}, {"filesystem"}}}

func (s ChangelogStorage) String() string { return changelogStorages.name(s) }

// The options of the state of a running job.
var (
	StateBackend = enumOption(backends, spec[Backend]{
		Key: "state.backend.type", Aliases: []string{"state.backend"}, Default: new(HeapBackend), Only: []Backend{HeapBackend},
		Doc: "Where the state of a running job lives. `hashmap`, also called `heap`: in memory. The old key `state.backend` also " +
			"takes `filesystem` and `jobmanager`, which mean `hashmap` with that `execution.checkpointing.storage`.",
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
		Aliases: []string{"state.backend.latency-track.keyed-state-enabled"}, Default: new(false),
		Doc: "Whether the time of accesses to keyed state is measured.",
	})

	LatencySampleInterval = intOption(spec[int]{
		Key:     "state.latency-track.sample-interval",
		Aliases: []string{"state.backend.latency-track.sample-interval"}, Default: new(100), Check: atLeast(1),
		Doc: "Of so many accesses to keyed state one is measured.",
	})

	LatencyHistorySize = intOption(spec[int]{
		Key:     "state.latency-track.history-size",
		Aliases: []string{"state.backend.latency-track.history-size"}, Default: new(128), Check: atLeast(1),
		Doc: "How many measurements are kept.",
	})

	LatencyStateName = boolOption(spec[bool]{
		Key:     "state.latency-track.state-name-as-variable",
		Aliases: []string{"state.backend.latency-track.state-name-as-variable"}, Default: new(true),
		Doc: "Whether the name of a state is a label of the metric.",
	})

	SizeTracking = boolOption(spec[bool]{
		Key: "state.size-track.keyed-state-enabled", Default: new(false),
		Doc: "Whether the sizes of keys and values in keyed state are measured.",
	})

	SizeSampleInterval = intOption(spec[int]{
		Key: "state.size-track.sample-interval", Default: new(100), Check: atLeast(1),
		Doc: "Of so many accesses to keyed state one is measured.",
	})

	SizeHistorySize = intOption(spec[int]{
		Key: "state.size-track.history-size", Default: new(128), Check: atLeast(1),
		Doc: "How many measurements are kept.",
	})

	Changelog = boolOption(spec[bool]{
		Key: "state.changelog.enabled", Aliases: []string{"state.backend.changelog.enabled"}, Default: new(false),
		Doc: "Whether changes of the state are written as they happen, so that a checkpoint is quick.",
	})

	ChangelogStorageOption = enumOption(changelogStorages, spec[ChangelogStorage]{
		Key: "state.changelog.storage", Aliases: []string{"state.backend.changelog.storage"}, Default: new(MemoryChangelog),
		Doc: "Where the changelog is written.",
	})

	ChangelogMaxFailures = intOption(spec[int]{
		Key: "state.changelog.max-failures-allowed", Aliases: []string{"state.backend.changelog.max-failures-allowed"},
		Default: new(3), Check: atLeast(0),
		Doc: "How many writes of the whole state beside the changelog may fail in a row.",
	})

	PeriodicMaterialization = boolOption(spec[bool]{
		Key:     "state.changelog.periodic-materialize.enabled",
		Aliases: []string{"state.backend.changelog.periodic-materialize.enabled"}, Default: new(true),
		Doc: "Whether the whole state is written from time to time, so that the changelog before it can go.",
	})

	MaterializationInterval = durationOption(spec[time.Duration]{
		Key:     "state.changelog.periodic-materialize.interval",
		Aliases: []string{"state.backend.changelog.periodic-materialize.interval"}, Default: new(10 * time.Minute),
		Doc: "The time between two writes of the whole state beside the changelog.",
	})
)

// oldBackendPair translates the values that state.backend had when it named the checkpoint storage too; nil for any other
// setting.
func oldBackendPair(s setting) []claim {
	old := strings.ToLower(strings.TrimSpace(s.value))
	if s.key != "state.backend" || old != "filesystem" && old != "jobmanager" {
		return nil
	}
	backend, storage := s, s
	backend.value, storage.value = HeapBackend.String(), old
	note := notef("%s: %s (%s) is the old form of %s: %s and %s: %s; write these",
		s.key, s.value, s.origin, StateBackend.key, backend.value, CheckpointStorage.key, storage.value)
	return []claim{
		{StateBackend.declaration, value{setting: backend, alias: 1}},
		{CheckpointStorage.declaration, value{setting: storage, alias: len(CheckpointStorage.aliases) + 1, note: note}},
	}
}
