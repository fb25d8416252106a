package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/storagetest"
)

func TestSuite(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.FS { return storage.Below(newFake(t).open(t), "s3://bucket/some/dir") })
}

// Replies that are lost: the request was carried out, and the SDK tries it again by itself. Nothing is told to exist already that was just made.
func TestLostReplies(t *testing.T) {
	f := newFake(t)
	var seen sync.Map
	f.meddle = func(_ http.ResponseWriter, r *http.Request) (bool, bool) {
		_, again := seen.LoadOrStore(r.Method+r.URL.String(), true)
		return false, r.Method != http.MethodGet && r.Method != http.MethodHead && !again
	}
	fs := f.open(t)
	ctx := t.Context()
	if err := fs.PutIfAbsent(ctx, "s3://bucket/d/_metadata", []byte("x")); err != nil {
		t.Error(err)
	}
	if err := fs.Swap(ctx, "s3://bucket/d/_metadata", []byte("x"), []byte("y")); err != nil {
		t.Error(err)
	}
	for _, size := range []int{10, 4500} {
		name := fmt.Sprint("s3://bucket/d/state", size)
		w, err := fs.Create(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Errorf("Commit of %d bytes: %v", size, err)
		}
		if err := fs.Remove(ctx, name); err != nil {
			t.Error(err)
		}
	}
	if n := len(f.mu.uploads); n > 1 { // an upload whose beginning was not answered is known to nobody; a life cycle rule of the bucket ends it
		t.Errorf("%d uploads are left", n)
	}
}

// What the service says is told with operation and path, and what to do. Only its own word is proof that something is absent.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   string
		is     error
	}{
		{"forbidden", 403, "<Error><Code>AccessDenied</Code></Error>", "ListBucket", iofs.ErrPermission},
		{"a wrong key", 403, "<Error><Code>InvalidAccessKeyId</Code></Error>", "set s3.access-key", nil},
		{"no such object", 404, "<Error><Code>NoSuchKey</Code></Error>", "does not exist", storage.ErrNotExist},
		{"no such bucket", 404, "<Error><Code>NoSuchBucket</Code></Error>", "make the bucket", nil},
		{"another web server", 404, "<html>not here</html>", "404", nil},
		{"another web server that says nothing", 404, "", "404", nil},
		{"throttled", 503, "<Error><Code>SlowDown</Code></Error>", "fewer requests", nil},
		{"an internal error", 500, "<Error><Code>InternalError</Code></Error>", "InternalError", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			f := newFake(t)
			f.meddle = func(w http.ResponseWriter, r *http.Request) (bool, bool) {
				w.WriteHeader(c.status)
				w.Write([]byte(c.body))
				return true, false
			}
			_, err := f.open(t).Open(t.Context(), "s3://bucket/a/b")
			if err == nil {
				t.Fatal("Open succeeded")
			}
			if !strings.HasPrefix(err.Error(), "open s3://bucket/a/b: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q in it", err, c.want)
			}
			if c.is != nil && !errors.Is(err, c.is) || c.is != storage.ErrNotExist && errors.Is(err, storage.ErrNotExist) {
				t.Errorf("%v: is %v: %v", err, c.is, errors.Is(err, c.is))
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the secret is in %v", err)
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	f := newFake(t)
	f.Close()
	err := f.open(t).PutIfAbsent(t.Context(), "s3://bucket/a", nil)
	if err == nil || !strings.Contains(err.Error(), "look at the network, s3.endpoint") {
		t.Errorf("PutIfAbsent: %v", err)
	}
}

// A service that does not answer holds nobody up once the context is done.
func TestDeadline(t *testing.T) {
	f := newFake(t)
	f.meddle = func(_ http.ResponseWriter, r *http.Request) (bool, bool) {
		<-r.Context().Done()
		return true, false
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := f.open(t).List(ctx, "s3://bucket/a")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("List: %v", err)
	}
}

// A file costs one request to write and one to read, if it is small; many files cost one to delete, and one that cannot be deleted is named.
func TestRequests(t *testing.T) {
	f := newFake(t)
	fs := f.open(t)
	ctx := t.Context()
	for _, name := range []string{"a", "b", "held"} {
		w, err := fs.Create(ctx, "s3://bucket/d/"+name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(bytes.Repeat([]byte(name), 100))
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.count("", "d/"); n != 3 {
		t.Errorf("%d requests to write 3 small files", n)
	}
	r, err := fs.Open(ctx, "s3a://bucket/d/a")
	if err != nil {
		t.Fatal(err)
	}
	r.ReadAt(make([]byte, 10), 5)
	r.Close()
	if n := f.count("GET", "d/a"); n != 1 {
		t.Errorf("%d requests to read a small file", n)
	}
	err = fs.Remove(ctx, "s3://bucket/d/a", "s3://bucket/d/held", "s3://bucket/d/b")
	if err == nil || !strings.Contains(err.Error(), "d/held") || !errors.Is(err, iofs.ErrPermission) {
		t.Errorf("Remove of a file that is held: %v", err)
	}
	if n := f.count("POST", ""); n != 1 {
		t.Errorf("%d requests to remove 3 files", n)
	}
}

// A bad option is told before anybody is asked.
func TestBadOption(t *testing.T) {
	if _, err := Open(t.Context(), storage.NewConfig(map[string]string{"s3.upload.min.part.size": "many"})); err == nil {
		t.Error("Open succeeded")
	}
}

// A marker for entropy is told to who asks for it, with its length, and nobody else has one.
func TestEntropy(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		marker  string
		length  int
	}{
		{map[string]string{}, "", 0},
		{map[string]string{"s3.entropy.key": "_entropy_"}, "_entropy_", 4},
		{map[string]string{"s3.entropy.key": "_e_", "s3.entropy.length": "7"}, "_e_", 7},
	} {
		fs, err := Open(t.Context(), storage.NewConfig(c.options))
		if err != nil {
			t.Fatal(err)
		}
		marker, length := "", 0
		if s, ok := fs.(storage.Spreader); ok {
			marker, length = s.Entropy()
		}
		if marker != c.marker || length != c.length {
			t.Errorf("%v: marker %q with %d characters", c.options, marker, length)
		}
	}
	if _, err := Open(t.Context(), storage.NewConfig(map[string]string{"s3.entropy.key": "_e_", "s3.entropy.length": "0"})); err == nil {
		t.Error("a length of 0 is accepted")
	}
}

// A file whose parts fail more often than the client tries them, with errors of the service and connections that are lost, goes on and is whole.
func TestPartsAreUploadedAgain(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "2")
	f := newFake(t)
	var left atomic.Int64 // requests that fail
	f.meddle = func(w http.ResponseWriter, _ *http.Request) (answered, loseReply bool) {
		n := left.Add(-1)
		switch {
		case n < 0:
			return false, false
		case n%2 == 0:
			return false, true
		}
		fail(w, http.StatusInternalServerError, "InternalError")
		return true, false
	}
	failures := storagetest.Resumes(t, f.open(t), "s3://bucket/f", 20_000, func(n int) {
		if n%7 == 3 {
			left.Store(6)
		}
	})
	if failures < 3 {
		t.Errorf("%d failures", failures)
	}
}

// What is not set is named, by the option and by what the SDK looks for, with the SDK's own words; and no other attempt is made.
func TestNothingSet(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, v := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ROLE_ARN",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} {
		t.Setenv(v, "")
	}
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	for _, c := range []struct {
		name    string
		options map[string]string
		want    []string
	}{
		{"no region", nil, []string{"set s3.region", "AWS_REGION", "Invalid region"}},
		{"no region, but keys", map[string]string{"s3.access-key": "a", "s3.secret-key": "b"}, []string{"set s3.region"}},
		{"a region of a wrong form", map[string]string{"s3.region": "Frankfurt am Main"}, []string{"set s3.region", "invalid input region"}},
		{"an endpoint without scheme", map[string]string{"s3.endpoint": "minio:9000/x y"}, []string{"set s3.endpoint", "https://"}},
		{"no credentials", map[string]string{"s3.region": "eu-central-1"}, []string{"set s3.access-key and s3.secret-key", "AWS_ACCESS_KEY_ID", "credentials"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs, err := Open(t.Context(), storage.NewConfig(c.options))
			if err != nil {
				t.Fatal(err)
			}
			_, err = fs.Open(t.Context(), "s3://bucket/a")
			for _, want := range append(c.want, "open s3://bucket/a") {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v: want %q in it", err, want)
				}
			}
			var lasting interface{ Lasting() bool }
			var cause *smithy.OperationError
			if !errors.As(err, &lasting) || !lasting.Lasting() || !errors.As(err, &cause) {
				t.Errorf("%v: it is tried again, or has no cause", err)
			}
		})
	}
}
