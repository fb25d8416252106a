package weir

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/weirstream/weir/connector/discard"
)

// log is an output that can be read while it is written.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

var shownAt = regexp.MustCompile(`the job is shown at (http://127\.0\.0\.1:\d+)/jobs/overview`)

// TestUI shows that -ui says where the job is shown, that it is there while the job runs, and that nothing is there afterwards. The job asks
// about itself at its tenth record, and then interrupts its process.
func TestUI(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the program interrupts itself")
	}
	var out log
	var url, overview string
	n := 0
	build := func(j *Job) error {
		asking := TryMap(thousandPerSecond(j), func(i int64) (int64, error) {
			if n++; n != 10 {
				return i, nil
			}
			found := shownAt.FindStringSubmatch(out.String())
			if found == nil {
				return i, fmt.Errorf("no address in the log:\n%s", out.String())
			}
			url = found[1]
			var err error
			if overview, err = fetch(url + "/v1/jobs"); err != nil {
				return i, err
			}
			p, err := os.FindProcess(os.Getpid())
			if err != nil {
				return i, err
			}
			return i, p.Signal(os.Interrupt)
		})
		To(asking, "out", discard.Sink[int64]())
		j.Set("restart-strategy.type", "none")
		return nil
	}
	if code := run(newDisplay("asking", &out), build, []string{"-ui", "127.0.0.1:0"}); int(code) != 5 {
		t.Fatalf("exit status %d:\n%s", code, out.String())
	}
	// The first record may come before the one that starts the job has told the server of it; then the list is empty.
	if !strings.HasPrefix(overview, `{"jobs":[`) {
		t.Errorf("GET /v1/jobs: %s", overview)
	}
	if _, err := fetch(url + "/v1/jobs"); err == nil {
		t.Error("the server goes on after the job")
	}
}

func fetch(url string) (string, error) {
	answer, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// An address that is taken is a mistake that is told before anything is started.
func TestUIAddressTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Chdir(t.TempDir())
	var out log
	code := run(newDisplay("ticks", &out), ticks, []string{"-ui=" + l.Addr().String()})
	if int(code) != 2 || !strings.Contains(out.String(), "flag -ui: listen tcp "+l.Addr().String()) {
		t.Errorf("exit status %d:\n%s", code, out.String())
	}
	if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
		t.Errorf("something was started: %v %v", files, err)
	}
}
