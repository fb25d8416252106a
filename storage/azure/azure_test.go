package azure

import (
	"encoding/base64"
	"errors"
	"io"
	iofs "io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/weirstream/weir/storage"
)

const root = "wasbs://files@shop.blob.core.windows.net"

var secret = base64.StdEncoding.EncodeToString([]byte("hunter2"))

// server returns the file system at a server that gives every answer by answer, and is asked once.
func server(t *testing.T, answer http.HandlerFunc) storage.FS {
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	fs, err := open(storage.NewConfig(map[string]string{
		"fs.azure.endpoint": s.URL + "/shop", "fs.azure.account.key.shop.blob.core.windows.net": secret,
	}), policy.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1}})
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// What the service says is told with operation and path, and what to do. Only its own word is proof that something is absent.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		code   string
		want   string
		is     error
	}{
		{"no such blob", 404, "BlobNotFound", "does not exist", storage.ErrNotExist},
		{"no such container", 404, "ContainerNotFound", "make the container", nil},
		{"another web server", 404, "", "404", nil},
		{"forbidden", 403, "AuthorizationPermissionMismatch", "Contributor", iofs.ErrPermission},
		{"a wrong key", 403, "AuthenticationFailed", "fs.azure.account.key", nil},
		{"throttled", 503, "ServerBusy", "fewer requests", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := server(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.code != "" {
					w.Header().Set("x-ms-error-code", c.code)
				}
				w.WriteHeader(c.status)
				io.WriteString(w, "<html>not here</html>")
			})
			_, err := fs.Open(t.Context(), root+"/a")
			if err == nil || !strings.HasPrefix(err.Error(), "open "+root+"/a: ") || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v; want %q in it", err, c.want)
			}
			if c.is != nil && !errors.Is(err, c.is) || c.is != storage.ErrNotExist && errors.Is(err, storage.ErrNotExist) {
				t.Errorf("%v: is %v: %v", err, c.is, errors.Is(err, c.is))
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the secret is in %v", err)
			}
		})
	}
}

// A publication names its condition: there must be no blob.
func TestPublication(t *testing.T) {
	var asked []string
	fs := server(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Header.Get("If-None-Match"))
		if len(asked) == 2 { // the second half of the trial
			w.Header().Set("x-ms-error-code", "BlobAlreadyExists")
			w.WriteHeader(http.StatusConflict)
			return
		}
		w.WriteHeader(map[string]int{http.MethodPut: http.StatusCreated, http.MethodDelete: http.StatusAccepted}[r.Method])
	})
	if err := fs.PutIfAbsent(t.Context(), root+"/d/_metadata", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(asked, ", "); got != "PUT *, PUT *, DELETE , PUT *" {
		t.Errorf("asked %s", got)
	}
}

// The forms of paths, and a key that is none, which is not shown.
func TestPaths(t *testing.T) {
	for bucket, want := range map[string]place{
		"c@shop.blob.core.windows.net":      {"c", "shop", "shop.blob.core.windows.net"},
		"c@shop.dfs.core.windows.net":       {"c", "shop", "shop.blob.core.windows.net"},
		"c@shop.blob.core.chinacloudapi.cn": {"c", "shop", "shop.blob.core.chinacloudapi.cn"},
	} {
		if got, err := parse(bucket); err != nil || got != want {
			t.Errorf("%s: %v, %v", bucket, got, err)
		}
	}
	fs, err := Open(t.Context(), storage.NewConfig(map[string]string{"fs.azure.account.key.shop.dfs.core.windows.net": "hunter2!"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"wasbs://c/d", "wasbs://shop.blob.core.windows.net/c", root + "/x"} {
		if _, err := fs.List(t.Context(), path); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Credentials that are not there are named by the option and by what the SDK looks for, with the SDK's own words; and no other attempt is made.
func TestNothingSet(t *testing.T) {
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential") // and no machine's identity, which is asked for over the network
	for _, v := range []string{"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_USERNAME"} {
		t.Setenv(v, "")
	}
	fs, err := Open(t.Context(), storage.NewConfig(nil))
	if err != nil {
		t.Fatal(err)
	}
	_, err = fs.Open(t.Context(), root+"/a")
	var lasting interface{ Lasting() bool }
	if !errors.As(err, &lasting) || !lasting.Lasting() {
		t.Errorf("%v: it is tried again", err)
	}
	for _, want := range []string{"open " + root + "/a", "set fs.azure.account.key.", "fs.azure.sas.", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q in it", err, want)
		}
	}
}
