package s3

import (
	"cmp"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/weirstream/weir/storage"
)

// fake speaks as much of the protocol as the store asks for, with one bucket called "bucket". It does not look at signatures.
type fake struct {
	*httptest.Server
	// meddle may answer a request itself, or say what is to be done with the answer; nil: everything goes well.
	meddle func(w http.ResponseWriter, r *http.Request) (answered, loseReply bool)
	mu     struct {
		sync.Mutex
		objects  map[string]fakeObject
		uploads  map[string]map[int][]byte
		tokens   map[string]string // of uploads
		requests []string
	}
}

type fakeObject struct {
	data  []byte
	token string
}

func (o fakeObject) etag() string {
	sum := md5.Sum(o.data)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func newFake(t *testing.T) *fake {
	f := &fake{}
	f.mu.objects, f.mu.uploads, f.mu.tokens = map[string]fakeObject{}, map[string]map[int][]byte{}, map[string]string{}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// open returns the file system in the fake.
func (f *fake) open(t *testing.T, more ...string) storage.FS {
	t.Helper()
	options := map[string]string{
		"s3.endpoint": f.URL, "s3.access-key": "me", "s3.secret-key": "hunter2", "s3.path.style.access": "true", "s3.upload.min.part.size": "1000",
	}
	for i := 0; i < len(more); i += 2 {
		options[more[i]] = more[i+1]
	}
	fs, err := open(t.Context(), storage.NewConfig(options), func(o *s3.Options) {
		o.Retryer = retry.AddWithMaxBackoffDelay(o.Retryer, time.Millisecond)
	})
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if f.meddle != nil {
		answered, loseReply := f.meddle(w, r)
		if answered {
			return
		}
		if loseReply {
			defer panic(http.ErrAbortHandler) // the connection is closed without a reply
			w = httptest.NewRecorder()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	f.mu.requests = append(f.mu.requests, r.Method+" "+key)
	q := r.URL.Query()
	switch {
	case bucket != "bucket":
		fail(w, http.StatusNotFound, "NoSuchBucket")
	case r.Method == http.MethodGet && key == "" && q.Has("uploads"):
		f.listUploads(w, q.Get("prefix"))
	case r.Method == http.MethodGet && key == "":
		f.list(w, q.Get("prefix"), q.Get("delimiter"), q.Get("continuation-token"))
	case r.Method == http.MethodPost && q.Has("delete"):
		f.deleteAll(w, body)
	case r.Method == http.MethodPost && q.Has("uploads"):
		id := strconv.Itoa(len(f.mu.tokens) + 1)
		f.mu.uploads[id], f.mu.tokens[id] = map[int][]byte{}, r.Header.Get("x-amz-meta-weir-write")
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
	case q.Has("uploadId"):
		f.upload(w, r, key, q.Get("uploadId"), body)
	case r.Method == http.MethodPut:
		f.put(w, r, key, fakeObject{body, r.Header.Get("x-amz-meta-weir-write")})
	case r.Method == http.MethodDelete:
		delete(f.mu.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		f.get(w, r, key)
	}
}

func fail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>the fake says so</Message></Error>", code)
}

func (f *fake) put(w http.ResponseWriter, r *http.Request, key string, o fakeObject) {
	present, there := f.mu.objects[key]
	match := r.Header.Get("If-Match")
	switch {
	case r.Header.Get("If-None-Match") == "*" && there, match != "" && there && match != present.etag():
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	case match != "" && !there:
		fail(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	f.mu.objects[key] = o
	w.Header().Set("ETag", o.etag())
	if r.Method == http.MethodPost {
		fmt.Fprintf(w, "<CompleteMultipartUploadResult><ETag>%s</ETag></CompleteMultipartUploadResult>", o.etag())
	}
}

func (f *fake) upload(w http.ResponseWriter, r *http.Request, key, id string, body []byte) {
	parts, there := f.mu.uploads[id]
	switch {
	case !there:
		fail(w, http.StatusNotFound, "NoSuchUpload")
	case r.Method == http.MethodPut:
		n, _ := strconv.Atoi(r.URL.Query().Get("partNumber"))
		parts[n] = body
		w.Header().Set("ETag", fakeObject{data: body}.etag())
	case r.Method == http.MethodDelete:
		delete(f.mu.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	default:
		var whole []byte
		for _, n := range slices.Sorted(maps.Keys(parts)) {
			whole = append(whole, parts[n]...)
		}
		delete(f.mu.uploads, id)
		f.put(w, r, key, fakeObject{whole, f.mu.tokens[id]})
	}
}

func (f *fake) get(w http.ResponseWriter, r *http.Request, key string) {
	o, there := f.mu.objects[key]
	if !there && r.Method == http.MethodHead {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if !there {
		fail(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	w.Header().Set("ETag", o.etag())
	w.Header().Set("x-amz-meta-weir-write", o.token)
	var from, to int
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); n == 2 {
		if from >= len(o.data) {
			fail(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		to = min(to, len(o.data)-1)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(o.data)))
		w.Header().Set("Content-Length", strconv.Itoa(to+1-from))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(o.data[from : to+1])
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(o.data)))
	if r.Method == http.MethodGet {
		w.Write(o.data)
	}
}

// list returns two entries to a page.
func (f *fake) list(w http.ResponseWriter, prefix, delimiter, after string) {
	type object struct {
		Key          string
		LastModified time.Time
		Size         int
	}
	type commonPrefix struct{ Prefix string }
	var out struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []object
		CommonPrefixes        []commonPrefix
	}
	last := ""
	for _, key := range slices.Sorted(maps.Keys(f.mu.objects)) {
		rest, ok := strings.CutPrefix(key, prefix)
		name := key
		if i := strings.Index(rest, "/"); delimiter != "" && i >= 0 {
			name = prefix + rest[:i+1]
		}
		if !ok || name <= after || name == last {
			continue
		}
		if len(out.Contents)+len(out.CommonPrefixes) == 2 {
			out.IsTruncated, out.NextContinuationToken = true, last
			break
		}
		last = name
		if name != key {
			out.CommonPrefixes = append(out.CommonPrefixes, commonPrefix{name})
		} else {
			out.Contents = append(out.Contents, object{key, time.Unix(1e9, 0), len(f.mu.objects[key].data)})
		}
	}
	xml.NewEncoder(w).Encode(out)
}

func (f *fake) listUploads(w http.ResponseWriter, prefix string) {
	fmt.Fprint(w, "<ListMultipartUploadsResult>")
	for _, id := range slices.Sorted(maps.Keys(f.mu.uploads)) {
		fmt.Fprintf(w, "<Upload><Key>%sf</Key><UploadId>%s</UploadId></Upload>", prefix, id)
	}
	fmt.Fprint(w, "</ListMultipartUploadsResult>")
}

func (f *fake) deleteAll(w http.ResponseWriter, body []byte) {
	var in struct {
		Object []struct{ Key string }
	}
	if err := xml.Unmarshal(body, &in); err != nil {
		fail(w, http.StatusBadRequest, "MalformedXML")
		return
	}
	fmt.Fprint(w, "<DeleteResult>")
	for _, o := range in.Object {
		if strings.HasSuffix(o.Key, "/held") {
			fmt.Fprintf(w, "<Error><Key>%s</Key><Code>AccessDenied</Code><Message>it is held</Message></Error>", o.Key)
			continue
		}
		delete(f.mu.objects, o.Key)
	}
	fmt.Fprint(w, "</DeleteResult>")
}

func (f *fake) count(method, prefix string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.mu.requests {
		m, key, _ := strings.Cut(r, " ")
		if cmp.Or(method, m) == m && strings.HasPrefix(key, prefix) {
			n++
		}
	}
	return n
}
