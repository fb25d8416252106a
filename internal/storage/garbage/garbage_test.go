package garbage_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/internal/storage/garbage"
	"github.com/weirstream/weir/internal/storage/linefile"
	"github.com/weirstream/weir/storage"
)

const (
	dir    = "store://checkpoints"
	stream = "11111111-2222-4333-8444-555555555555"
)

// meddled does something once, when a directory is listed.
type meddled struct {
	storage.FS
	at   string
	then func()
}

func (m *meddled) List(ctx context.Context, path string) ([]storage.Entry, error) {
	if strings.HasSuffix(path, m.at) && m.then != nil {
		m.then()
		m.then = nil
	}
	return m.FS.List(ctx, path)
}

// On a store without locks a job may be started while garbage is looked for. Then nothing is, whenever that happens.
func TestStartedMeanwhile(t *testing.T) {
	ended := line.Record{Line: linefile.NewID(), Name: "shop", Epoch: 1, Jobs: []line.Job{{ID: job.NewID(), First: 1}}, End: &line.End{State: line.Finished}}
	jobDir := dir + "/" + ended.Jobs[0].ID.String()
	start := func(t *testing.T, files storage.FS, name string) {
		f, err := linefile.Open(t.Context(), files, dir, name)
		if err != nil {
			t.Fatal(err)
		}
		next := ended
		next.Name, next.Epoch, next.End = name, 2, nil
		if err := f.Put(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, at, starts, says string }{
		{"before its record is read", "checkpoints", "shop", "has not ended by what its record says"},
		{"after its record is read", "chk-2", "shop", "taken over"},
		{"for the first time", "chk-2", "newcomer", "a job was started meanwhile"},
		{"not at all", "nowhere", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := fs.NewMemory()
			f, err := linefile.Open(t.Context(), files, dir, "shop")
			if err == nil {
				err = f.Put(t.Context(), ended)
			}
			if err == nil {
				err = files.PutIfAbsent(t.Context(), jobDir+"/chk-2/"+stream, []byte("1234567"))
			}
			if err != nil {
				t.Fatal(err)
			}
			search := garbage.Search{FS: &meddled{files, c.at, func() { start(t, files, c.starts) }}, Dir: dir, Now: time.Unix(0, 0)}
			found, err := search.Find(t.Context())
			if c.says == "" {
				if err != nil || len(found.Items) != 1 {
					t.Fatalf("found %v, %v; want one checkpoint", found, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %q", err, c.says)
			}
			if running := (*garbage.RunningError)(nil); errors.As(err, &running) && !running.Record {
				t.Error("a lock is said to be held where there are none")
			}
		})
	}
}
