// Package backend answers one question: which state backend does a name in the configuration mean?
//
// Backends enter themselves while the program is initialised; afterwards the registry is only read. The heap needs no entry: it is there
// without a store.
package backend

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/nearest"
)

// The names that mean the heap. It is Flink's hashmap.
const (
	Heap    = "heap"
	HashMap = "hashmap"
)

// The names of backends that come with this module, but are in a program only if it imports them.
const (
	Pebble  = "pebble"
	RocksDB = "rocksdb" // Flink's; Pebble stands in for it
)

// imports are the packages that enter the backends which come with this module.
var imports = map[string]string{Pebble: "github.com/weirstream/weir/state/pebble"}

var registry struct {
	mu    sync.Mutex
	named map[string]backend.New
}

// Register enters a backend under a name. It panics if the name is taken or cannot be part of a key of the configuration.
func Register(name string, make backend.New) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	switch {
	case !isName(name):
		panic(fmt.Sprintf("state backend %q: the name must consist of lower-case letters, digits and hyphens", name))
	case name == Heap || name == HashMap || name == RocksDB || registry.named[name] != nil:
		panic(fmt.Sprintf("state backend %q: the name is taken", name))
	case make == nil:
		panic(fmt.Sprintf("state backend %q: there is no function to make it", name))
	}
	if registry.named == nil {
		registry.named = map[string]backend.New{}
	}
	registry.named[name] = make
}

func isName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// Canonical returns the name under which a backend is registered that the configuration calls by some name, "heap" for the heap's names.
// The note is for the log, empty if there is nothing to say.
func Canonical(name string) (canonical, note string) {
	switch name = strings.ToLower(strings.TrimSpace(name)); name {
	case "", HashMap:
		return Heap, ""
	case RocksDB:
		return Pebble, "the state backend rocksdb is Pebble here, a store of the same design: its settings are state.backend.pebble.*, and it cannot read RocksDB's files"
	}
	return name, ""
}

// Find returns how the backend of a canonical name is made, nil for the heap. The error says which there are, and what to import.
func Find(name string) (backend.New, error) {
	if name == Heap {
		return nil, nil
	}
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if found := registry.named[name]; found != nil {
		return found, nil
	}
	if path := imports[name]; path != "" {
		return nil, fmt.Errorf("the state backend %s is not in this program: add import _ %q to it", name, path)
	}
	known := append([]string{HashMap}, slices.Sorted(maps.Keys(registry.named))...)
	for name := range imports {
		if registry.named[name] == nil {
			known = append(known, name+" (with import _ \""+imports[name]+"\")")
		}
	}
	hint := ""
	if near, ok := nearest.Name(name, append(slices.Collect(maps.Keys(imports)), append(known, Heap, RocksDB)...), 2); ok {
		hint = fmt.Sprintf("; did you mean %s?", near)
	}
	return nil, fmt.Errorf("no state backend is named %q: there are %s; your own are registered with state.RegisterBackend%s",
		name, strings.Join(known, ", "), hint)
}
