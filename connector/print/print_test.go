package print_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/weirstream/weir/connector/print"
	"github.com/weirstream/weir/sink"
)

type pair struct {
	Key   string
	Value int
}

// TestPrint shows what records look like.
func TestPrint(t *testing.T) {
	var out strings.Builder
	w, _ := print.To[pair](&out).Writer(context.Background(), sink.WriterEnv{}, nil)
	if err := w.Write([]pair{{"a", 1}, {"b", 2}}, []int64{0, 0}); err != nil {
		t.Fatal(err)
	}
	w2, _ := print.To[string](&out).Writer(context.Background(), sink.WriterEnv{}, nil)
	w2.Write([]string{"plain"}, []int64{0})
	if want := "{Key:a Value:1}\n{Key:b Value:2}\nplain\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// TestError shows that an output that fails fails the job.
func TestError(t *testing.T) {
	w, _ := print.To[string](closed{}).Writer(context.Background(), sink.WriterEnv{}, nil)
	if err := w.Write([]string{"x"}, []int64{0}); err == nil || err.Error() != "print: broken pipe" {
		t.Errorf("error %v", err)
	}
}
