package heap_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/pebble"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state"
)

// pages is state of which each key takes some two kilobytes.
type pages struct {
	Visits state.Value[int64]  `state:"visits"`
	Text   state.Value[string] `state:"text"`
}

const pageBytes = 2 << 10

// text returns what nobody can compress.
func text(key int64) string {
	b := make([]byte, 0, pageBytes)
	for i := uint64(0); len(b) < pageBytes; i++ {
		b = binary.LittleEndian.AppendUint64(b, keyhash.Uint64(uint64(key)<<8+i))
	}
	return string(b)
}

// mostCompared is the number of keys up to which each is looked up in the end. Of more it is a part, since each takes a read of the disk at a place of its
// own; that none is missing shows in a savepoint, which is read in order.
const mostCompared = 1 << 17

// fillAndCheck gives so many keys their state, visits some again out of order, compares them at the end, and writes all to a savepoint.
func fillAndCheck(t *testing.T, dir string, memory int64, keys int64) {
	o := pebble.Default()
	o.Dir, o.Memory = dir, memory/2
	f, err := pebble.Open(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	under, err := f.Open(t.Context(), backend.Env{Parallelism: 1, Groups: backend.Groups{First: 0, Last: maxParallelism - 1}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var p pages
	s := open(t, &p, 0, 1, hashInt)
	s.Back(under, memory/4)
	defer s.Close()
	batch := make([]int64, 256)
	begin := time.Now()
	passed := func(what string) {
		t.Logf("%s: %.1f s", what, time.Since(begin).Seconds())
		begin = time.Now()
	}
	// Keys come in the order in which the byte store has them, as names that count up do. In random order most of the time goes into compaction, which then
	// writes each byte fourteen times.
	each := func(next func(i int64) int64, n int64, f func(key int64)) {
		for i := int64(0); i < n; i += int64(len(batch)) {
			for j := range batch {
				batch[j] = int64(bits.ReverseBytes64(uint64(next(min(i+int64(j), n-1)))))
			}
			at(s, hashInt, f, batch...)
			if err := s.Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	each(func(i int64) int64 { return i }, keys, func(k int64) { p.Visits.Set(1); p.Text.Set(text(k)) })
	passed(fmt.Sprintf("fill %d keys", keys))
	visits := min(keys/8, mostCompared)
	each(func(i int64) int64 { return int64(keyhash.Uint64(uint64(i)) % uint64(keys)) }, visits, func(k int64) {
		if p.Text.Get() != text(k) {
			t.Fatalf("key %d has lost its text", k)
		}
		p.Visits.Set(2)
	})
	passed(fmt.Sprintf("visit %d of them again, out of order", visits))
	again := map[int64]bool{}
	for i := range visits {
		again[int64(bits.ReverseBytes64(keyhash.Uint64(uint64(i))%uint64(keys)))] = true
	}
	step := max(keys/mostCompared, 1)
	each(func(i int64) int64 { return i * step }, keys/step, func(k int64) {
		want := int64(1)
		if again[k] {
			want = 2
		}
		if p.Visits.Get() != want || p.Text.Get() != text(k) {
			t.Fatalf("key %d: %d visits, want %d; text of %d bytes", k, p.Visits.Get(), want, len(p.Text.Get()))
		}
	})
	passed(fmt.Sprintf("compare every %d. key", step))
	c := s.Capture()
	defer c.Release()
	k, err := c.Write(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	passed(fmt.Sprintf("write a savepoint of %d bytes", k.End))
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		if _, peak, ok := strings.Cut(string(status), "VmHWM:"); ok {
			t.Logf("resident at most: %s", strings.TrimSpace(peak[:strings.IndexByte(peak, '\n')]))
		}
	}
	const row = 8 + 8 + 2 + pageBytes // key, visits, text
	if left := k.End - k.Header - keys*row; left < 0 || left > int64(k.Range.Len())*8 {
		t.Errorf("a savepoint of %d bytes, want %d and the number of rows of each group", k.End-k.Header, keys*row)
	}
}

// TestStateLargerThanMemory shows that memory in use stays where it was said to while the state grows far beyond it.
func TestStateLargerThanMemory(t *testing.T) {
	if size := os.Getenv("WEIR_TEST_STATE_BYTES"); size != "" { // the child of the test below
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		debug.SetMemoryLimit(256 << 20)
		fillAndCheck(t, t.TempDir(), 128<<20, n/pageBytes)
		return
	}
	if raceDetector {
		t.Skip("the race detector takes more memory than the state, and minutes")
	}
	const memory, state = 8 << 20, 48 << 20
	fillAndCheck(t, t.TempDir(), memory, state/pageBytes)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if m.HeapInuse > 3*memory {
		t.Errorf("%d MB of the heap are in use after a state of %d MB with %d MB of memory", m.HeapInuse>>20, state>>20, memory>>20)
	}
}

// TestStateOf4GBIn512MB runs the same in a process that the kernel would kill if it took more than 512 MiB. It takes minutes, so it must be asked for.
func TestStateOf4GBIn512MB(t *testing.T) {
	size := os.Getenv("WEIR_TEST_LARGE_STATE")
	if size == "" {
		t.Skip("set WEIR_TEST_LARGE_STATE to a number of bytes, such as 4294967296, or run make large-state")
	}
	group := memoryGroup(t, 512<<20)
	c := exec.Command(os.Args[0], "-test.run=^TestStateLargerThanMemory$", "-test.timeout=60m", "-test.v")
	c.Env = append(os.Environ(), "WEIR_TEST_STATE_BYTES="+size)
	sh := exec.Command("sh", append([]string{"-c", `echo $$ > "$1/cgroup.procs" && shift && exec "$@"`, "sh", group}, c.Args...)...)
	sh.Env = c.Env
	out, err := sh.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s\n%s bytes of state: peak of the group %s bytes", out, size, peakOf(group))
}

// memoryGroup makes a control group with a limit of memory, of either version of the kernel's interface.
func memoryGroup(t *testing.T, limit int64) string {
	for _, kind := range []struct{ root, file string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"},
	} {
		group := filepath.Join(kind.root, fmt.Sprint("weir-test-", os.Getpid()))
		if err := os.Mkdir(group, 0o755); err != nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(group, kind.file), fmt.Append(nil, limit), 0o644); err != nil {
			os.Remove(group)
			continue
		}
		t.Cleanup(func() { os.Remove(group) })
		return group
	}
	t.Skip("no control group with a limit of memory can be made here: that takes root, and a writable /sys/fs/cgroup")
	return ""
}

func peakOf(group string) string {
	for _, name := range []string{"memory.max_usage_in_bytes", "memory.peak"} {
		if b, err := os.ReadFile(filepath.Join(group, name)); err == nil {
			return strings.TrimSpace(string(b))
		}
	}
	return "?"
}
