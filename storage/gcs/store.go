package gcs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/weirstream/weir/storage/internal/object"
)

// tokenKey is the name of the token in an object's metadata.
const tokenKey = "weir-write"

var (
	errCredentials = errors.New("find credentials")
	errAbsent      = errors.New("there is no such object")
	errGivenUp     = errors.New("the upload was given up")
)

func (s *store) PartSize() int { return s.chunk }

// Parallel is 1: the chunks of an upload follow each other.
func (s *store) Parallel() int { return 1 }

func (s *store) object(at object.Place) (*storage.ObjectHandle, error) {
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	return c.Bucket(at.Bucket).Object(at.Key), nil
}

func (s *store) Read(ctx context.Context, at object.Place, offset, length int64) (io.ReadCloser, object.Info, error) {
	o, err := s.object(at)
	if err != nil {
		return nil, object.Info{}, err
	}
	r, err := o.NewRangeReader(ctx, offset, length)
	var api *googleapi.Error
	if errors.As(err, &api) && api.Code == http.StatusRequestedRangeNotSatisfiable { // it ends before the offset, as an empty object does
		info, err := s.Stat(ctx, at)
		return nil, info, err
	}
	if err != nil {
		return nil, object.Info{}, s.proved(ctx, at, err)
	}
	info := object.Info{Size: r.Attrs.Size, Version: strconv.FormatInt(r.Attrs.Generation, 10)}
	if info.Size <= offset {
		r.Close()
		return nil, info, nil
	}
	return r, info, nil
}

func (s *store) Stat(ctx context.Context, at object.Place) (object.Info, error) {
	o, err := s.object(at)
	if err != nil {
		return object.Info{}, err
	}
	a, err := o.Attrs(ctx)
	if err != nil {
		return object.Info{}, s.proved(ctx, at, err)
	}
	return object.Info{Size: a.Size, Version: strconv.FormatInt(a.Generation, 10), Token: a.Metadata[tokenKey]}, nil
}

// proved looks for proof that an object is absent, where the answer was a 404 that any web server could have given: the service knows the bucket.
func (s *store) proved(ctx context.Context, at object.Place, err error) error {
	var api *googleapi.Error
	if !errors.As(err, &api) || api.Code != http.StatusNotFound || kindOfAbsent(api) != object.Unknown {
		return err
	}
	c, clientErr := s.client()
	if clientErr != nil {
		return clientErr
	}
	if b, bucketErr := c.Bucket(at.Bucket).Attrs(ctx); bucketErr == nil && b.Name == at.Bucket {
		return fmt.Errorf("%w: %w", errAbsent, err)
	}
	return fmt.Errorf("whoever answers may not be Google Cloud Storage, look at gs.storage.root.url: %w", err)
}

func conditions(c object.Condition) (storage.Conditions, error) {
	if c.Absent {
		return storage.Conditions{DoesNotExist: true}, nil
	}
	generation, err := strconv.ParseInt(c.Version, 10, 64)
	return storage.Conditions{GenerationMatch: generation}, err
}

func (s *store) Write(ctx context.Context, at object.Place, data []byte, token string, c object.Condition) error {
	w, stop, err := s.writer(ctx, at, token, c)
	if err != nil {
		return err
	}
	defer stop()
	w.ChunkSize = 0 // in one request
	if _, err := w.Write(data); err != nil {
		return errors.Join(err, ignoreClosed(w.Close()))
	}
	return w.Close()
}

// ignoreClosed drops what Close says after Write has failed: the same again.
func ignoreClosed(error) error { return nil }

func (s *store) writer(ctx context.Context, at object.Place, token string, c object.Condition) (*storage.Writer, context.CancelFunc, error) {
	o, err := s.object(at)
	if err != nil {
		return nil, nil, err
	}
	conds, err := conditions(c)
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	w := o.If(conds).NewWriter(ctx)
	w.Metadata = map[string]string{tokenKey: token}
	w.ChunkRetryDeadline = patience
	return w, stop, nil
}

// upload is a resumable upload, one chunk after the other. The object appears when it is closed. The client repeats a chunk for as long as
// patience has it, and then lets nobody else do so.
type upload struct {
	w    *storage.Writer
	stop context.CancelFunc
	err  error // the first
}

func (s *store) Begin(ctx context.Context, at object.Place, token string) (object.Upload, error) {
	w, stop, err := s.writer(ctx, at, token, object.Condition{Absent: true})
	if err != nil {
		return nil, err
	}
	w.ChunkSize = s.chunk
	return &upload{w: w, stop: stop}, nil
}

func (u *upload) Part(_ context.Context, _ int, data []byte) error {
	return u.once(func() error {
		_, err := u.w.Write(data)
		return err
	})
}

func (u *upload) Complete(context.Context, int) error {
	defer u.stop()
	return u.once(u.w.Close)
}

// once does a step unless one before has failed.
func (u *upload) once(step func() error) error {
	if u.err != nil {
		return fmt.Errorf("%w after: %w", errGivenUp, u.err)
	}
	u.err = step()
	return u.err
}

// Abort cancels the upload. The service forgets it after a week.
func (u *upload) Abort(context.Context) error {
	u.stop()
	_ = u.w.Close() // it says that it was cancelled
	return nil
}

func (s *store) List(ctx context.Context, dir object.Place, all bool, page func([]object.Object) error) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	q := &storage.Query{Prefix: dir.Prefix()}
	if !all {
		q.Delimiter = "/"
	}
	if err := q.SetAttrSelection([]string{"Name", "Size", "Updated"}); err != nil {
		return err
	}
	const pageSize = 1000
	var found []object.Object
	objects := c.Bucket(dir.Bucket).Objects(ctx, q)
	for {
		a, err := objects.Next()
		if err == iterator.Done {
			return page(found)
		}
		if err != nil {
			return err
		}
		if a.Prefix != "" {
			found = append(found, object.Object{Key: strings.TrimSuffix(a.Prefix, "/"), Dir: true})
		} else {
			found = append(found, object.Object{Key: a.Name, Size: a.Size, Modified: a.Updated})
		}
		if len(found) == pageSize {
			if err := page(found); err != nil {
				return err
			}
			found = found[:0]
		}
	}
}

// Delete asks for each: there is no request for many.
func (s *store) Delete(ctx context.Context, bucket string, keys []string) error {
	return object.Each(keys, func(key string) error { return s.deleteOne(ctx, object.Place{Bucket: bucket, Key: key}) })
}

func (s *store) deleteOne(ctx context.Context, at object.Place) error {
	o, err := s.object(at)
	if err != nil {
		return err
	}
	err = s.proved(ctx, at, o.Delete(ctx))
	if s.Kind(err) == object.NotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", at.Key, err)
	}
	return nil
}

// DropUploads does nothing: unfinished uploads cannot be listed, cost nothing and end by themselves.
func (s *store) DropUploads(context.Context, object.Place) error { return nil }

// Kind says what an error means. A 404 alone is no proof of anything: see proved.
func (s *store) Kind(err error) object.Kind {
	var api *googleapi.Error
	switch {
	case err == nil:
		return object.Unknown
	case errors.Is(err, errGivenUp):
		return object.NoUpload
	case errors.Is(err, errAbsent):
		return object.NotFound
	case errors.Is(err, errCredentials):
		return object.Credentials
	case errors.As(err, &api):
		return kindOf(api)
	case errors.Is(err, storage.ErrBucketNotExist):
		return object.NoBucket
	case object.Unreached(err):
		return object.Unreachable
	}
	return object.Unknown
}

func kindOf(e *googleapi.Error) object.Kind {
	switch e.Code {
	case http.StatusNotFound:
		return kindOfAbsent(e)
	case http.StatusConflict:
		return object.Conflict
	}
	return object.KindOfStatus(e.Code)
}

// kindOfAbsent tells an absent object from an absent bucket, and both from a web server that has never heard of either.
func kindOfAbsent(e *googleapi.Error) object.Kind {
	text := strings.ToLower(e.Message + " " + e.Body)
	switch {
	case strings.Contains(text, "no such object"):
		return object.NotFound
	case strings.Contains(text, "bucket does not exist"):
		return object.NoBucket
	}
	return object.Unknown
}
