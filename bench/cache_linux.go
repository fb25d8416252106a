package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// dropFromCache makes the system forget a synced file's content, so that reading it goes to the disk.
func dropFromCache(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("drop %s from the page cache: %w", path, err)
	}
	return nil
}
