package inspect

import (
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/backend/logged"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage"
)

// Format is a form of what is on disk.
type Format struct {
	Name    string
	Version int // the newest that this program writes; it reads all from 1 to this one
}

// Formats returns the forms that have a version of their own in each file or stream, and are not those of a connector or of a backend that a job
// imports. See docs/formats.
func Formats() []Format {
	return []Format{
		{storage.MetadataName, snapshot.Version},
		{"job line", line.Version},
		{"keyed state", keyed.Version},
		{"changelog", logged.Version},
	}
}
