package gcs

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	iofs "io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	contract "github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/internal/object"
)

// open returns the file system at a server that gives every answer by answer, and is asked once.
func open(t *testing.T, answer http.HandlerFunc) contract.FS {
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	options, err := clientOptions(contract.NewConfig(map[string]string{"gs.storage.root.url": server.URL, "gs.auth.type": "UNAUTHENTICATED"}))
	if err != nil {
		t.Fatal(err)
	}
	return object.New(&store{chunk: defaultChunk, options: options, attempts: 1}, advice)
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
		{"no such object", 404, "No such object: bucket/a", "does not exist", contract.ErrNotExist},
		{"no such bucket", 404, `{"error": {"code": 404, "message": "The specified bucket does not exist."}}`, "make the bucket", nil},
		{"another web server", 404, "<html>not here</html>", "may not be Google", nil},
		{"forbidden", 403, `{"error": {"code": 403, "message": "no"}}`, "Storage Object Admin", iofs.ErrPermission},
		{"nobody", 401, `{"error": {"code": 401, "message": "who?"}}`, "gs.auth.type", nil},
		{"throttled", 429, `{"error": {"code": 429, "message": "slower"}}`, "fewer requests", nil},
		{"an internal error", 500, "", "500", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := open(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			_, err := fs.Open(t.Context(), "gs://bucket/a")
			if err == nil || !strings.HasPrefix(err.Error(), "open gs://bucket/a: ") || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v; want %q in it", err, c.want)
			}
			if c.is != nil && !errors.Is(err, c.is) || c.is != contract.ErrNotExist && errors.Is(err, contract.ErrNotExist) {
				t.Errorf("%v: is %v: %v", err, c.is, errors.Is(err, c.is))
			}
		})
	}
}

// A publication names its condition: no generation of the object may exist.
func TestPublication(t *testing.T) {
	var conditions []string
	fs := open(t, func(w http.ResponseWriter, r *http.Request) {
		conditions = append(conditions, r.Method+" "+r.URL.Query().Get("ifGenerationMatch"))
		if r.Method == http.MethodPost && len(conditions) == 2 { // the second half of the trial
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		content := "x"
		if len(conditions) == 1 {
			content = "may be deleted"
		}
		sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum([]byte(content), crc32.MakeTable(crc32.Castagnoli)))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"name": "a", "bucket": "bucket", "generation": "1", "crc32c": %q}`, base64.StdEncoding.EncodeToString(sum))
	})
	if err := fs.PutIfAbsent(t.Context(), "gs://bucket/d/_metadata", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(conditions, ", "); got != "POST 0, POST 0, DELETE , POST 0" {
		t.Errorf("asked %s", got)
	}
}

// Wrong options are told before anybody is asked.
func TestBadOptions(t *testing.T) {
	for _, key := range []string{"gs.writer.chunk.size", "gs.auth.type"} {
		if _, err := Open(t.Context(), contract.NewConfig(map[string]string{key: "many"})); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// Credentials that are not there are named by the option and by what the client looks for, with the client's own words; and no other attempt is made.
func TestNothingSet(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", t.TempDir()+"/none")
	for name, options := range map[string]map[string]string{
		"by default": {},
		"a key file": {"gs.auth.type": "SERVICE_ACCOUNT_JSON_KEYFILE", "gs.auth.service.account.json.keyfile": t.TempDir() + "/none"},
	} {
		t.Run(name, func(t *testing.T) {
			fs, err := Open(t.Context(), contract.NewConfig(options))
			if err != nil {
				t.Fatal(err)
			}
			_, err = fs.Open(t.Context(), "gs://bucket/a")
			var lasting interface{ Lasting() bool }
			if !errors.As(err, &lasting) || !lasting.Lasting() || !errors.Is(err, iofs.ErrNotExist) {
				t.Errorf("%v: it is tried again, or has no cause", err)
			}
			for _, want := range []string{"open gs://bucket/a", "set gs.auth.type", "gs.auth.service.account.json.keyfile", "GOOGLE_APPLICATION_CREDENTIALS"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v: want %q in it", err, want)
				}
			}
		})
	}
}
