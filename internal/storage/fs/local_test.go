package fs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir/storage"
)

// counterDir names the directory in which a child process of this test counts.
const counterDir = "WEIR_TEST_COUNTER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(counterDir); dir != "" {
		if err := countInChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const childCounts = 10

func countInChild(dir string) error {
	fs := Local{Root: dir}
	for done := 0; done < childCounts; {
		old, err := os.ReadFile(filepath.Join(dir, "n"))
		if err != nil {
			return err
		}
		var n int
		fmt.Sscan(string(old), &n)
		err = fs.Swap(context.Background(), "n", old, fmt.Append(nil, n+1))
		switch {
		case err == nil:
			done++
		case !errors.Is(err, storage.ErrChanged):
			return err
		}
	}
	return nil
}

// Swap excludes other processes: children count in one file, and no count is lost.
func TestLocalSwapBetweenProcesses(t *testing.T) {
	dir := t.TempDir()
	if err := (Local{Root: dir}).PutIfAbsent(t.Context(), "n", []byte("0")); err != nil {
		t.Fatal(err)
	}
	const children = 3
	var running []*exec.Cmd
	for range children {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), counterDir+"="+dir)
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, child)
	}
	for _, child := range running {
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "n"))
	if want := fmt.Sprint(children * childCounts); err != nil || string(got) != want {
		t.Errorf("counted to %s, %v; want %s", got, err, want)
	}
}

// What a killed process leaves under reserved names is not listed, is not in the way, and goes with its directory.
func TestLocalHidesItsOwnFiles(t *testing.T) {
	dir := t.TempDir()
	fs := Local{Root: dir}
	if err := fs.Swap(t.Context(), "d/f", nil, []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "d", reserved+"tmp-killed"), []byte("half"), filePerm); err != nil {
		t.Fatal(err)
	}
	entries, err := fs.List(t.Context(), "d")
	if err != nil || len(entries) != 1 || entries[0].Name != "f" {
		t.Errorf("List: %v, %v", entries, err)
	}
	if err := fs.Remove(t.Context(), "d/f", "d"); err != nil {
		t.Errorf("Remove of a directory that looks empty: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "d")); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
}

// The zero value takes the paths of the operating system.
func TestLocalWithoutRoot(t *testing.T) {
	name := filepath.ToSlash(filepath.Join(t.TempDir(), "a", "f"))
	if err := (Local{}).PutIfAbsent(t.Context(), name, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.FromSlash(name)); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
}

// Without hard links the name is given under a lock.
func TestRenameIfAbsent(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	for i, want := range []error{nil, iofs.ErrExist} {
		temp, err := writeTemp(filepath.Dir(name), fmt.Append(nil, i))
		if err != nil {
			t.Fatal(err)
		}
		if err := renameIfAbsent(temp, name); !errors.Is(err, want) {
			t.Errorf("%d: %v, want %v", i, err, want)
		}
	}
	if got, _ := os.ReadFile(name); string(got) != "0" {
		t.Errorf("the file holds %q, want the first", got)
	}
}

// Errors name operation and path once, in the caller's form, and keep their class.
func TestLocalErrors(t *testing.T) {
	fs := Local{Root: t.TempDir()}
	if err := fs.PutIfAbsent(t.Context(), "f", nil); err != nil {
		t.Fatal(err)
	}
	_, absent := fs.Open(t.Context(), "d/none")
	_, exists := fs.Create(t.Context(), "f")
	for _, c := range []struct {
		err  error
		want string
	}{
		{absent, "open d/none: does not exist"},
		{exists, "create f: exists already"},
		{fs.PutIfAbsent(t.Context(), "f", nil), "put f: exists already"},
		{fs.Swap(t.Context(), "f", []byte("other"), nil), "swap f: was changed by another process"},
		{fs.MakeDir(t.Context(), "f/below"), "make directory f/below: not a directory"},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("%v, want %s", c.err, c.want)
		}
	}
	if strings.Contains(absent.Error(), fs.Root) {
		t.Errorf("%v shows the root", absent)
	}
}
