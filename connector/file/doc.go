// Package file reads and writes files: CSV, JSON lines and plain lines.
//
// One value describes files of one format at one place. weir.From reads them, weir.To writes them:
//
//	flights := weir.From(j, "flights", file.CSV[Flight]("flights.csv.gz"))
//	weir.To(hourly, "hourly", file.CSV[Hour]("out/hourly"))
//
// Reading. A path is a file or a folder; of a folder all files below it are read whose path has no component that begins with "." or
// "_", which is what this package's own output looks like while it is not committed. Each file is a split. Files that end in .gz or
// .zst are decompressed. A checkpoint holds the position in each file that is not finished, together with the file's size and a hash of
// its head: a file that changed is refused by name.
//
// Writing. A path is a folder, in which each subtask writes files exactly once:
//
//   - In progress: a file with a hidden name, ".part-...". Nobody else should look at it.
//   - Pending: closed and durable, still hidden, known to a checkpoint.
//   - Committed: renamed to "part-..." once that checkpoint is complete, and never changed again.
//
// The committed rows are exactly those in files whose path below the folder has no component that begins with "." or "_". A folder
// belongs to one job line, which is written in its hidden journal; docs/formats/file-sink.md describes that and the names.
package file
