package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// A file that cannot be read is a mistake like any other.
func TestFileMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	_, _, err := Load(File(path))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("Load: %v", err)
	}
}

// Whatever a file holds, every key in it is a setting once or a mistake, and loading it does not panic.
func FuzzParseFile(f *testing.F) {
	f.Add(false, "execution:\n  checkpointing.interval: 10 s\n  state: {backend: [a, b]}\n")
	f.Add(false, "a: &x 1\nb: *x\n<<: *x\n")
	f.Add(false, "? {a: b}\n: - c\n---\nd: ~\n")
	f.Add(true, "state.backend: filesystem # old\nbroken\n")
	f.Fuzz(func(t *testing.T, flat bool, text string) {
		name := "config.yaml"
		if flat {
			name = flatName
		}
		l := ParseFile(name, []byte(text))
		seen := map[string]bool{}
		for _, s := range l.settings {
			if s.key == "" || seen[s.key] {
				t.Errorf("key %q is empty or twice in the layer", s.key)
			}
			seen[s.key] = true
		}
		if _, _, err := Load(l); err == nil && len(l.errs) > 0 {
			t.Errorf("loaded although %v", l.errs)
		}
	})
}
