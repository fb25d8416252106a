//go:build unix

package linefile

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestReleaseWhileForking shows that the line is free after Release although another process still has the open file, as every process has
// between its fork and its exec: here another descriptor of this process stands for it.
func TestReleaseWhileForking(t *testing.T) {
	dir := t.TempDir()
	first, err := TakeLock(dir, "flights", since)
	if err != nil {
		t.Fatal(err)
	}
	child, err := unix.Dup(int(first.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	second, err := TakeLock(dir, "flights", since)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Release(); err != nil {
		t.Fatal(err)
	}
}
