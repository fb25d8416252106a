package weir_test

import (
	"context"
	"strings"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/file"
)

// What is wrong with the description of a source or a sink is found before the job starts, all of it.
func TestDescriptionsAreChecked(t *testing.T) {
	j := weir.NewJob("checked")
	lines := weir.From(j, "in", file.Lines("in.txt", file.Rate(-1)))
	weir.To(lines, "out", file.Lines("out", file.Match("*.txt")))
	_, err := weir.Run(context.Background(), j)
	for _, want := range []string{`source "in"`, "Rate(-1)", `sink "out"`, "Match"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}
