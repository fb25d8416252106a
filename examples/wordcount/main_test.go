package main

import (
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/weirtest"
)

// TestCounts shows that each word is counted once, wherever the machine goes down.
func TestCounts(t *testing.T) {
	count := func(word string, n int64) weir.KV[string, int64] { return weir.KV[string, int64]{Key: word, Value: n} }
	weirtest.Run(t, build,
		weirtest.In("lines", "to be or not", "to be", ""),
		weirtest.Want("out", count("to", 1), count("be", 1), count("or", 1), count("not", 1), count("to", 2), count("be", 2)),
		weirtest.Seeds(20), weirtest.CrashEverywhere(), weirtest.Rescale(1, 2, 3))
}
