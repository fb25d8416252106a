//go:build integration

package hdfs_test

import (
	"errors"
	"testing"
	"time"

	"github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/hdfs"
	"github.com/weirstream/weir/storage/internal/servers"
	"github.com/weirstream/weir/storage/storagetest"
)

// service starts HDFS and waits until it takes a file.
func service(t *testing.T) (fs storage.FS, root string) {
	root = "hdfs://" + servers.HDFS(t)
	for begun := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		fs, err := hdfs.Open(t.Context(), storage.NewConfig(map[string]string{"hdfs.user": "weir"}))
		if err != nil {
			t.Fatal(err)
		}
		w, err := fs.Create(t.Context(), root+"/ready")
		if err == nil {
			if _, err = w.Write([]byte("x")); err == nil {
				err = w.Commit()
			} else {
				err = errors.Join(err, w.Abort())
			}
		}
		if err == nil {
			return fs, root
		}
		if time.Since(begun) > time.Minute {
			t.Fatal(err)
		}
	}
}

// TestReal runs all with one cluster, which takes long to start.
func TestReal(t *testing.T) {
	fs, root := service(t)
	t.Run("suite", func(t *testing.T) { storagetest.RunBelow(t, fs, root+"/suite") })
	t.Run("large file", func(t *testing.T) { storagetest.Large(t, fs, root+"/large", root+"/large", 16<<20) })
	t.Run("a claim that was left behind", func(t *testing.T) {
		w, err := fs.Create(t.Context(), root+"/d/.weir-claim-f/of-the-dead")
		if err == nil {
			err = w.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := fs.PutIfAbsent(t.Context(), root+"/d/f", []byte("x")); err != nil {
			t.Error(err)
		}
		entries, err := fs.List(t.Context(), root+"/d")
		if err != nil || len(entries) != 1 || entries[0].Name != "f" {
			t.Errorf("List: %v, %v", entries, err)
		}
	})
}
