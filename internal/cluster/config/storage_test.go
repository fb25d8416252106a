package config

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/weirstream/weir/storage"
)

// What a store is opened with: defaults, what was set, and the keys that are not declared one by one. None of it is printed.
func TestStorageConfig(t *testing.T) {
	c := load(t,
		"s3.secret-key=hunter2", "s3.access-key=me",
		"fs.azure.account.key.shop.blob.core.windows.net=hunter3",
	).Storage()
	for key, want := range map[string]string{
		"s3.secret-key": "hunter2", "s3.path.style.access": "false", "s3.upload.min.part.size": "5242880", "s3.endpoint": "",
		"fs.azure.account.key.shop.blob.core.windows.net": "hunter3",
	} {
		if got := c.Get(key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if keys := c.WithPrefix("fs.azure.account.key."); len(keys) != 1 || keys["shop.blob.core.windows.net"] != "hunter3" {
		t.Errorf("keys of accounts: %d of them", len(keys))
	}
	if text := fmt.Sprintf("%v %+v %#v %s", c, c, c, c); strings.Contains(text, "hunter") {
		t.Errorf("a secret is printed: %s", text)
	}
}

// registerCellar registers a scheme, which stays, for tests that are repeated.
var registerCellar = sync.OnceFunc(func() {
	storage.Register(func(context.Context, storage.Config) (storage.FS, error) { return nil, nil }, "cellar")
})

// A registered storage is a value of execution.checkpointing.storage, the scheme of a path, and the owner of keys of its own.
func TestRegisteredStorage(t *testing.T) {
	before := storages.names
	t.Cleanup(func() { storages.names = before })
	RegisterStorage("cellar")
	registerCellar()
	for dir, want := range map[string]string{
		"": "cellar://checkpoints", "a/b": "cellar://a/b", "/a/b": "cellar://a/b", "cellar://x/y": "cellar://x/y",
	} {
		args := []string{"execution.checkpointing.storage=cellar", "storage.cellar.shelf=3"}
		if dir != "" {
			args = append(args, "execution.checkpointing.dir="+dir)
		}
		cfg := load(t, args...)
		if c := cfg.Checkpointing(); c.Dir != want || c.Storage != FilesystemStorage {
			t.Errorf("directory %q: %v in %q, want %q", dir, c.Storage, c.Dir, want)
		}
		if got := cfg.Storage().Get("storage.cellar.shelf"); got != "3" {
			t.Errorf("its own key is %q", got)
		}
	}
	for _, arg := range []string{"storage.attic.shelf=3", "storage.filesystem.x=y", "storage.cellar=x"} {
		l := Operator()
		l.Define(arg)
		if _, _, err := Load(l); err == nil {
			t.Errorf("%s is accepted", arg)
		}
	}
}
