package crashtest

import (
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Tree lists the files below a folder, with size and checksum, to find out whether something has changed. Those whose names are skipped are
// left out.
func Tree(dir string, skip func(name string) bool) (string, error) {
	var list strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || skip(e.Name()) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		fmt.Fprintf(&list, "%s %d %08x\n", rel, len(data), crc32.ChecksumIEEE(data))
		return err
	})
	return list.String(), err
}
