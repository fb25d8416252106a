// Wordcount counts the words of a text and writes each count as it changes.
package main

import (
	"strings"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/file"
)

func main() { weir.Main("wordcount", build) }

func build(j *weir.Job) error {
	lines := weir.From(j, "lines", file.Lines(j.Args().String("input", "README.md", "text to count")))
	words := weir.FlatMap(lines, strings.FieldsSeq)
	counts := weir.Count(weir.KeyBy(words, weir.Self), "counts")
	weir.To(counts, "out", file.CSV[weir.KV[string, int64]](j.Args().String("output", "counts", "folder for the counts")))
	return nil
}
