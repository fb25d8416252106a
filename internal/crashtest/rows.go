package crashtest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Rows returns the committed rows below an output folder, sorted, each after the folder that its file is in: "hourly: 2001-...". The first
// line of each file is a header, and is the same in all files of a folder.
func Rows(dir string) ([]string, error) {
	var rows []string
	headers := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && hidden(e.Name()) {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if e.IsDir() {
			return nil
		}
		found, err := rowsOf(dir, path, headers)
		rows = append(rows, found...)
		return err
	})
	slices.Sort(rows)
	return rows, err
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") }

func rowsOf(dir, path string, headers map[string]string) ([]string, error) {
	folder, err := filepath.Rel(dir, filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	header, body, ok := strings.Cut(string(data), "\n")
	if !ok || body != "" && !strings.HasSuffix(body, "\n") {
		return nil, fmt.Errorf("committed file %s: the last line has no end", path)
	}
	if known, ok := headers[folder]; ok && header != known {
		return nil, fmt.Errorf("committed file %s: header %q, that of another is %q", path, header, known)
	}
	headers[folder] = header
	var rows []string
	for line := range strings.Lines(body) {
		rows = append(rows, folder+": "+strings.TrimSuffix(line, "\n"))
	}
	return rows, nil
}

// Diff says how sorted rows differ from those that are wanted, in a few lines; it is empty if they do not.
func Diff(got, want []string) string {
	missing, extra := Without(want, got), Without(got, want)
	if len(missing)+len(extra) == 0 {
		return ""
	}
	return fmt.Sprintf("%d rows, want %d\n%s%s", len(got), len(want), some("missing", missing), some("too many", extra))
}

// Without returns the elements of a that are not in b. Both are sorted; equal ones are counted.
func Without(a, b []string) (rest []string) {
	for _, x := range a {
		for len(b) > 0 && b[0] < x {
			b = b[1:]
		}
		if len(b) > 0 && b[0] == x {
			b = b[1:]
			continue
		}
		rest = append(rest, x)
	}
	return rest
}

func some(what string, rows []string) string {
	const most = 8
	var s strings.Builder
	if len(rows) > 0 {
		fmt.Fprintf(&s, "%s: %d\n", what, len(rows))
	}
	for _, r := range rows[:min(most, len(rows))] {
		fmt.Fprintf(&s, "  %s\n", r)
	}
	return s.String()
}
