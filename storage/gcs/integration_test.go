//go:build integration

package gcs_test

import (
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
	storagetest.RunBelow(t, fs, "gs://bucket/suite")
}

// A file of several chunks, given up and then written.
func TestRealChunks(t *testing.T) {
	storagetest.Large(t, service(t), "gs://bucket/large", "gs://bucket/large", 4800<<10)
}
