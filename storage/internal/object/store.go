// Package object makes a storage.FS of a store of objects: how files, directories, atomic publication and bounded memory come about where
// there are only keys, whole objects and conditions on writes. The clients of S3, Google Cloud Storage and Azure implement Store.
//
//   - A path is a URL, scheme://bucket/key. A directory is a prefix of keys; it need not be made and is gone with its last file.
//   - A file appears when its Writer commits, whole, on the condition that there is none of its name.
//   - PutIfAbsent and Swap are one conditional write each. The store must keep the condition: that is tried out once in each bucket, before
//     the first such write, and a store that ignores it is refused.
//   - Each write carries a random token with the object. When the reply to a write is lost and the client's own second attempt finds the
//     condition broken, the token says whether it was this write that broke it.
//   - Nothing is tried again here beyond what the client does by itself, but for a conflict that says so. A Writer can be resumed: it holds the
//     parts that the store has not taken.
package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Place is an object, or a prefix of keys if it stands for a directory. Key has no slash at either end.
type Place struct{ Bucket, Key string }

// Info says what a store tells with an object.
type Info struct {
	Size    int64
	Version string // changes with every write of the object: an ETag or a generation
	Token   string // as it was written with the object
}

// Condition is what must hold for a write to happen.
type Condition struct {
	Absent  bool   // there must be no object
	Version string // or else the object must have this version
}

// Object is one in a listing, or a common prefix if Dir is set.
type Object struct {
	Key      string // in full; without the slash at the end of a prefix
	Dir      bool
	Size     int64
	Modified time.Time
}

// Store is a store of objects. All methods may be called concurrently. Errors are those of the client, as Kind can tell them apart.
type Store interface {
	// Read reads length bytes of an object from an offset on, or fewer if it ends before, and says what the object is.
	// Body is nil if the object is empty or ends before the offset.
	Read(ctx context.Context, at Place, offset, length int64) (body io.ReadCloser, info Info, err error)
	// Stat says what an object is.
	Stat(ctx context.Context, at Place) (Info, error)
	// Write writes a whole object in one atomic step.
	Write(ctx context.Context, at Place, data []byte, token string, c Condition) error
	// Begin begins an object that is too large for one request. What is uploaded of it is invisible until Complete.
	Begin(ctx context.Context, at Place, token string) (Upload, error)
	// List calls page with what lies below a directory, direct entries only or all, page by page in order of key.
	List(ctx context.Context, dir Place, all bool, page func([]Object) error) error
	// Delete deletes objects of one bucket, as many as there are. An absent one is no error. It goes on after a failure and returns one of them.
	Delete(ctx context.Context, bucket string, keys []string) error
	// DropUploads gives up unfinished uploads below a directory, if the store keeps them.
	DropUploads(ctx context.Context, dir Place) error
	// Kind says what an error means.
	Kind(err error) Kind
	// PartSize is the size of the parts of an upload, and Parallel how many may be under way at once.
	PartSize() int
	Parallel() int
}

// Upload is an object that is being uploaded in parts.
type Upload interface {
	// Part uploads one part, counted from 1. All but the last have at least PartSize bytes. Of several calls under way at once each has
	// another number. It keeps no hold of data. One that has failed is uploaded again under the same number; if that is of no use because nothing
	// can be added any more, Part and Complete fail with an error of kind NoUpload.
	Part(ctx context.Context, n int, data []byte) error
	// Complete makes the object of the parts 1 to n, on the condition that there is none.
	Complete(ctx context.Context, n int) error
	// Abort gives the parts up.
	Abort(ctx context.Context) error
}

// Kind is what an error of a store means.
type Kind int

const (
	Unknown       Kind = iota // nothing follows for what is stored
	NotFound                  // there is no such object, on proof
	Precondition              // the condition of a write did not hold
	Conflict                  // two writes met; this one did not happen and can be tried again
	NoBucket                  // there is no such bucket, so nothing follows for the object
	Permission                // the store knows who asks, and does not allow it
	Credentials               // there are none, or they are wrong
	Throttled                 // the store asks for fewer requests
	Unreachable               // nobody answers, or the connection was lost
	NoUpload                  // the upload is completed or given up already
	Misconfigured             // no request can be made: a region or an address is missing, or is not of the form of one
)

// parse splits a path. The scheme was looked at by the one who has chosen this file system.
func parse(path string) (Place, error) {
	_, rest, ok := strings.Cut(path, ":/")
	rest = strings.TrimLeft(rest, "/")
	bucket, key, _ := strings.Cut(rest, "/")
	if !ok || bucket == "" {
		return Place{}, fmt.Errorf("%s: a path such as s3://bucket/directory is needed", path)
	}
	return Place{Bucket: bucket, Key: strings.Trim(key, "/")}, nil
}

// Prefix is what the keys of a directory's entries begin with: nothing for the bucket itself.
func (p Place) Prefix() string {
	if p.Key == "" {
		return ""
	}
	return p.Key + "/"
}

// reserved begins the names that listings leave out.
const reserved = ".weir-"

// Error is a failure of a store: it names the operation and the path, and says what to do. It matches what caused it, and fs.ErrPermission if
// the store did not allow the operation.
type Error struct {
	Op, Path string
	Kind     Kind
	Advice   string
	Err      error
}

// Error names operation, place and cause.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err)
	if e.Advice != "" {
		text += " (" + e.Advice + ")"
	}
	return text
}

// Lasting reports whether another attempt would meet the same: nobody has made the bucket meanwhile, or given a permission.
func (e *Error) Lasting() bool {
	return e.Kind == NoBucket || e.Kind == Permission || e.Kind == Credentials || e.Kind == Misconfigured
}

// Unwrap returns what the client has said.
func (e *Error) Unwrap() error { return e.Err }

// KindOfStatus says, for the Kind methods of stores, what the status of an HTTP response means where the store has said nothing more exact. 0 is
// the status of a request without a response.
func KindOfStatus(status int) Kind {
	switch status {
	case 0:
		return Unreachable
	case http.StatusPreconditionFailed:
		return Precondition
	case http.StatusForbidden:
		return Permission
	case http.StatusUnauthorized:
		return Credentials
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return Throttled
	}
	return Unknown
}

// Unreached reports, for the Kind methods of stores, whether an error is one of not having reached the other side, or of losing it.
func Unreached(err error) bool {
	var u *url.Error
	var timeout interface{ Timeout() bool }
	return errors.As(err, &u) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &timeout) && timeout.Timeout()
}
