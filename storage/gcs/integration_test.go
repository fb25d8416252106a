//go:build integration

package gcs_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/gcs"
	"github.com/weirstream/weir/storage/internal/servers"
	"github.com/weirstream/weir/storage/storagetest"
)

// service starts the emulator with a bucket.
func service(t *testing.T) storage.FS {
	url := servers.GCS(t)
	r, err := http.Post(url+"/storage/v1/b?project=test", "application/json", strings.NewReader(`{"name": "bucket"}`))
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("make a bucket: %v, %v", r, err)
	}
	r.Body.Close()
	fs, err := gcs.Open(t.Context(), storage.NewConfig(map[string]string{
		"gs.storage.root.url": url, "gs.auth.type": "UNAUTHENTICATED", "gs.writer.chunk.size": "1048576",
	}))
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestRealSuite(t *testing.T) {
	fs := service(t)
	n := 0
	storagetest.Run(t, func(t *testing.T) storage.FS {
		n++
		return storage.Below(fs, fmt.Sprintf("gs://bucket/suite/%d", n))
	})
}

// A file of several chunks, given up and then written.
func TestRealChunks(t *testing.T) {
	fs := service(t)
	want := bytes.Repeat([]byte("0123456789abcdef"), 300_000) // 4.6 MiB
	for _, end := range []func(storage.Writer) error{storage.Writer.Abort, storage.Writer.Commit} {
		w, err := fs.Create(t.Context(), "gs://bucket/large")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(want); err != nil {
			t.Fatal(err)
		}
		if err := end(w); err != nil {
			t.Fatal(err)
		}
	}
	r, err := fs.Open(t.Context(), "gs://bucket/large")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes of %d: %v, or other ones", len(got), len(want), err)
	}
}
