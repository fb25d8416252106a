//go:build integration

package azure_test

import (
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
	storagetest.RunBelow(t, fs, root+"/suite")
}

// A file of several blocks, given up and then written; read by the other name of its account.
func TestRealBlocks(t *testing.T) {
	storagetest.Large(t, service(t), root+"/large", "abfss://bucket@"+servers.AzureAccount+".dfs.core.windows.net/large", 4800<<10)
}
