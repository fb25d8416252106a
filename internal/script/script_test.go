package script

import (
	"strconv"
	"testing"
)

// TestPlay shows that earlier outcomes are replaced, and that comments, empty lines and commands without outcome stay.
func TestPlay(t *testing.T) {
	count := 0
	player := func(_ *testing.T, words []string) []string {
		if words[0] == "quiet" {
			return nil
		}
		count++
		return []string{words[0], strconv.Itoa(count)}
	}
	const script = "# a comment\nfirst\n  old\n  lines\n  go\n\nquiet\n  gone\nsecond"
	const want = "# a comment\nfirst\n  first\n  1\n\nquiet\nsecond\n  second\n  2\n"
	if got := play(t, player, script); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
