package fs

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// A local disk keeps everything, and the trial leaves nothing behind.
func TestTryLocal(t *testing.T) {
	dir := t.TempDir()
	found, err := Try(dir)
	if err != nil || len(found) > 0 {
		t.Errorf("Try: %v, %v", found, err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("it leaves %v", left)
	}
}

// What a file system does not keep is found, told, and weighed.
func TestTryFinds(t *testing.T) {
	good := calls{os.Link, os.Rename, syncDir, tryLock}
	for _, c := range []struct {
		name  string
		spoil func(c *calls)
		want  string
		fatal bool
	}{
		{"no links", func(c *calls) { c.link = func(string, string) error { return syscall.EPERM } }, "no hard links", false},
		{"links that replace", func(c *calls) { c.link = func(string, string) error { return nil } }, "replaces a file", true},
		{"broken links", func(c *calls) { c.link = func(string, string) error { return syscall.EIO } }, "hard links fail", true},
		{"no rename", func(c *calls) { c.rename = func(string, string) error { return syscall.EXDEV } }, "cannot be replaced", true},
		{"a rename that does nothing", func(c *calls) { c.rename = func(old, _ string) error { return os.Remove(old) } }, "old content", true},
		{"no fsync of directories", func(c *calls) { c.sync = func(string) error { return syscall.EINVAL } }, "made durable", true},
		{"no locks", func(c *calls) {
			c.lock = func(string) (func() error, bool, error) { return nil, false, syscall.ENOLCK }
		}, "cannot be locked", false},
		{"locks that do not exclude", func(c *calls) {
			c.lock = func(string) (func() error, bool, error) { return func() error { return nil }, false, nil }
		}, "does not exclude", false},
	} {
		dir := t.TempDir()
		spoilt := good
		c.spoil(&spoilt)
		found, err := try(dir, spoilt)
		if err != nil || len(found) != 1 || !strings.Contains(found[0].String(), c.want) || found[0].Fatal != c.fatal {
			t.Errorf("%s: %v, %v; want one with %q, fatal %v", c.name, found, err, c.want, c.fatal)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: it leaves %v", c.name, left)
		}
	}
}
