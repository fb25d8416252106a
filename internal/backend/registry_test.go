package backend

import (
	"strings"
	"testing"

	"github.com/weirstream/weir/backend"
)

// TestNames shows what the names in a configuration mean.
func TestNames(t *testing.T) {
	for name, want := range map[string]string{"": Heap, "hashmap": Heap, " HashMap ": Heap, "heap": Heap, "pebble": Pebble, "rocksdb": Pebble, "mine": "mine"} {
		got, note := Canonical(name)
		if got != want || (note != "") != (name == "rocksdb") {
			t.Errorf("%q is %q, with the note %q", name, got, note)
		}
	}
}

// TestFind shows that a backend is found once it is registered, and that an error says what there is and what to import.
func TestFind(t *testing.T) {
	if f, err := Find(Heap); f != nil || err != nil {
		t.Errorf("heap: %v", err)
	}
	wantError(t, "pebble", `import _ "github.com/weirstream/weir/state/pebble"`)
	wantError(t, "mine", "hashmap, pebble (with import", "state.RegisterBackend")
	wantError(t, "peble", "did you mean pebble?")
	Register("mine", func(backend.Job) (backend.Factory, error) { return nil, nil })
	t.Cleanup(func() { delete(registry.named, "mine") }) // the test may be repeated
	if f, err := Find("mine"); f == nil || err != nil {
		t.Errorf("mine: %v", err)
	}
	wantError(t, "others", "hashmap, mine, pebble")
	for _, name := range []string{"mine", "heap", "rocksdb", "Upper", "", "a.b"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a backend named %q was registered", name)
				}
			}()
			Register(name, func(backend.Job) (backend.Factory, error) { return nil, nil })
		}()
	}
}

func wantError(t *testing.T, name string, parts ...string) {
	t.Helper()
	_, err := Find(name)
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v; want %q in it", name, err, part)
		}
	}
}
