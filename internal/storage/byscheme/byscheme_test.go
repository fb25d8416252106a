package byscheme

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/storagetest"
)

// pantry is a store that fails to open the first time, and otherwise knows the option that it is given.
var pantry struct {
	opened int
	shelf  string
	files  *fs.Memory
}

func init() {
	storage.Register(func(_ context.Context, c storage.Config) (storage.FS, error) {
		if pantry.opened++; pantry.opened == 1 {
			return nil, errors.New("the door is stuck")
		}
		pantry.shelf = c.Get("pantry.shelf")
		return pantry.files, nil
	}, "pantry")
}

// Each path goes to the file system of its scheme, which is opened when the first comes, once, and tried again if that fails.
func TestPathsFindTheirWay(t *testing.T) {
	pantry.opened, pantry.files = 0, fs.NewMemory()
	local := fs.NewMemory()
	f := New(local, storage.NewConfig(map[string]string{"pantry.shelf": "3"}))
	ctx := t.Context()
	if err := f.PutIfAbsent(ctx, "pantry://a/f", nil); err == nil || !strings.Contains(err.Error(), "the door is stuck") {
		t.Errorf("a store that cannot be opened: %v", err)
	}
	for _, path := range []string{"pantry://a/f", "PANTRY://a/g", "/a/f", "file:///a/g"} {
		if err := f.PutIfAbsent(ctx, path, nil); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if pantry.opened != 2 || pantry.shelf != "3" {
		t.Errorf("opened %d times, with shelf %q", pantry.opened, pantry.shelf)
	}
	if got := strings.Join(local.Files(), " "); got != "a/f a/g" {
		t.Errorf("local files: %s", got)
	}
	if err := f.Remove(ctx, "/a/f", "pantry://a/f", "file:/a/g", "nowhere://x"); err == nil || !strings.Contains(err.Error(), "only pantry, file") {
		t.Errorf("Remove: %v", err)
	}
	if n := len(local.Files()); n != 0 {
		t.Errorf("%d local files are left", n)
	}
	if _, err := f.List(ctx, "s3://bucket"); err == nil || !strings.Contains(err.Error(), `import _ "github.com/weirstream/weir/storage/s3"`) {
		t.Errorf("a store that is not imported: %v", err)
	}
}

func TestSuite(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.FS {
		pantry.opened, pantry.files = 1, fs.NewMemory()
		return storage.Below(New(fs.Local{}, storage.Config{}), "pantry://dir")
	})
}

// What is local, and a path that means the same everywhere.
func TestAbs(t *testing.T) {
	for path, want := range map[string]string{"/a/../b": "/b", "file:///a": "/a", "file:/a": "/a", "s3://bucket/a/../b": "s3://bucket/a/../b"} {
		if got, err := Abs(path); err != nil || got != want {
			t.Errorf("Abs(%q) = %q, %v, want %q", path, got, err, want)
		}
		if IsLocal(path) == strings.HasPrefix(path, "s3") {
			t.Errorf("IsLocal(%q) = %v", path, IsLocal(path))
		}
	}
}
