package linefile_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/internal/storage/linefile"
)

// Every job with a record or a lock is named once, whatever its name; files that only look like one are not.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"flights", ".hidden", "a/b: c%", "ünï"} {
		l, err := linefile.TakeLock(dir, name, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Release()
	}
	for _, file := range []string{"flights.line", "only record.line", "only%20record.line", "notes.txt", "a%zz.line", ".weir-lock-flights.line"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got, err := linefile.Names(t.Context(), fs.Local{}, dir)
	want := []string{".hidden", "a/b: c%", "flights", "only record", "ünï"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
