package storage

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage/fs"
)

// TestUploadRate shows that streams that are written at the same time have the rate together, that one alone has it for itself, and that who is
// held back notices when it is cancelled. The clock is that of the test.
func TestUploadRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewFiles(FilesOptions{FS: fs.NewMemory(), Dir: "/c", Job: scriptJob, WriteBuffer: 100, UploadRate: 1000})
		if err != nil {
			t.Fatal(err)
		}
		write := func(ctx context.Context) error {
			w := s.NewWriter(ctx, Location{ID: 1}, snapshot.Exclusive)
			for range 10 {
				if _, err := w.Write(make([]byte, 200)); err != nil {
					return err
				}
			}
			_, err := w.Finish()
			return err
		}
		began := time.Now()
		if err := write(t.Context()); err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("2000 bytes at 1000 a second took %v, %v", time.Since(began), err)
		}
		began = time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := write(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("three at a time took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		began = time.Now()
		if err := write(ctx); err == nil || time.Since(began) > time.Second {
			t.Errorf("a cancelled writer: %v after %v", err, time.Since(began))
		}
	})
}
