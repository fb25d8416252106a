//go:build integration

package azure_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/azure"
	"github.com/weirstream/weir/storage/internal/servers"
	"github.com/weirstream/weir/storage/storagetest"
)

const root = "wasbs://bucket@" + servers.AzureAccount + ".blob.core.windows.net"

// service starts the emulator with a container.
func service(t *testing.T) storage.FS {
	url := servers.Azure(t)
	key, err := container.NewSharedKeyCredential(servers.AzureAccount, servers.AzureKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := container.NewClientWithSharedKeyCredential(url+"/bucket", key, nil)
	if err == nil {
		_, err = c.Create(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	fs, err := azure.Open(t.Context(), storage.NewConfig(map[string]string{
		"fs.azure.endpoint": url, "fs.azure.write.request.size": "1048576",
		"fs.azure.account.key." + servers.AzureAccount + ".blob.core.windows.net": servers.AzureKey,
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
		return storage.Below(fs, fmt.Sprintf("%s/suite/%d", root, n))
	})
}

// A file of several blocks, given up and then written; read by the other name of its account.
func TestRealBlocks(t *testing.T) {
	fs := service(t)
	want := bytes.Repeat([]byte("0123456789abcdef"), 300_000) // 4.6 MiB
	for _, end := range []func(storage.Writer) error{storage.Writer.Abort, storage.Writer.Commit} {
		w, err := fs.Create(t.Context(), root+"/large")
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
	r, err := fs.Open(t.Context(), "abfss://bucket@"+servers.AzureAccount+".dfs.core.windows.net/large")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes of %d: %v, or other ones", len(got), len(want), err)
	}
}
