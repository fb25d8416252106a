// Package weir is a stateful stream processor: windows, timers and keyed state over unbounded data, exactly once, as an ordinary
// Go library.
//
// A job is a Go program. It declares steps on a Job, from sources to sinks, and runs them:
//
//	func main() { weir.Main("wordcount", build) }
//
//	func build(j *weir.Job) error {
//		lines := weir.From(j, "lines", file.Lines("book.txt"))
//		words := weir.FlatMap(lines, strings.FieldsSeq)
//		counts := weir.Count(weir.KeyBy(words, weir.Self), "counts")
//		weir.To(counts, "out", file.CSV[weir.KV[string, int64]]("counts"))
//		return nil
//	}
//
// Steps that keep state or touch the outside have an id, by which their state is found again when the job goes on from a checkpoint.
// Records pass to functions by value. What a record holds behind pointers, slices and maps may be shared with other steps and must not be
// changed.
package weir
