//go:build unix || windows

package linefile

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// holdEnv makes the test binary a process that takes the lock in that directory and keeps it until it is killed.
const holdEnv = "WEIR_TEST_HOLD_LOCK_IN"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		_, err := TakeLock(dir, "flights", since)
		fmt.Println("took it:", err)
		select {}
	}
	os.Exit(m.Run())
}

var since = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// TestLockDiesWithProcess shows that a second process is told who has the line, and that after SIGKILL the line is free at once.
func TestLockDiesWithProcess(t *testing.T) {
	dir := t.TempDir()
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), holdEnv+"="+dir)
	holder.Stderr = os.Stderr
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if l, err := bufio.NewReader(out).ReadString('\n'); err != nil || l != "took it: <nil>\n" {
		t.Errorf("the holder says %q (%v)", l, err)
	}

	_, err = TakeLock(dir, "flights", since.Add(time.Hour))
	var held *HeldError
	if !errors.As(err, &held) {
		t.Errorf("got %v, want a HeldError", err)
	} else if held.PID != holder.Process.Pid || held.Host == "" || !held.Since.Equal(since) {
		t.Errorf("got pid %d, host %q, since %s; want pid %d since %s", held.PID, held.Host, held.Since, holder.Process.Pid, since)
	}
	if other, err := TakeLock(dir, "other", since); err != nil {
		t.Errorf("another job in the same directory: %v", err)
	} else if err := other.Release(); err != nil {
		t.Error(err)
	}

	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // it was killed, which Wait reports as an error
	mine, err := TakeLock(dir, "flights", since)
	if err != nil {
		t.Fatalf("after the holder was killed: %v", err)
	}
	if err := mine.Release(); err != nil {
		t.Error(err)
	}
}

// TestHeldErrorSays shows what a user reads, also when the holder has not written its name yet.
func TestHeldErrorSays(t *testing.T) {
	held := &HeldError{Name: "flights", Dir: "out/_checkpoints", Holder: Holder{PID: 4711, Host: "weir1", Since: since}}
	const want = `job "flights" with checkpoints in out/_checkpoints is running already: process 4711 on weir1, since 2026-03-01T10:00:00Z. ` +
		`Stop that one first, or give this one another checkpoint directory and output`
	if held.Error() != want {
		t.Errorf("got  %s\nwant %s", held, want)
	}
	if unknown := (&HeldError{Name: "flights", Dir: "ck"}).Error(); !strings.Contains(unknown, "running already: another process.") {
		t.Errorf("got %s", unknown)
	}
}

// TestRelease shows that a released line is free and that its lock can be taken again and again.
func TestRelease(t *testing.T) {
	dir := t.TempDir() + "/not/there/yet"
	for range 3 {
		l, err := TakeLock(dir, "flights", since)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := TakeLock(dir, "flights", since); !errors.As(err, new(*HeldError)) {
			t.Errorf("a second lock in one process: %v", err)
		}
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
	}
}
