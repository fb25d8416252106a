package storage

import "strings"

// Paths belong to the implementation of the file system, so unlike package path nothing is cleaned here: the double slash of a URL
// must stay.

func join(dir, name string) string { return strings.TrimRight(dir, "/") + "/" + name }

// split cuts a path before its last part; there is no directory if it has only one.
func split(path string) (dir, name string) {
	path = strings.TrimRight(path, "/")
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}
