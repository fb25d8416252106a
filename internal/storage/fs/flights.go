package fs

const (
	// directFlights is how many blocks of a file may be with the system. On a busy machine a goroutine may learn only after 10 ms that a
	// write is done.
	directFlights = 4
	// directAhead is by how much a file is extended before it is written to.
	directAhead = 16 << 20
)

// flight is a block of a bulkFile that was left to the system.
type flight struct {
	block *[]byte
	write inFlight // nil if it has to be written again
}

// isWritten waits until the system has done with the block, and reports whether it is in the file.
func (f *flight) isWritten() bool {
	write := f.write
	f.write = nil
	return write != nil && write.wait() == nil
}

// inFlight is a write that the system has taken on.
type inFlight interface {
	wait() error
}

// launch leaves the block to the system, if it takes it.
func (f *bulkFile) launch() bool {
	if !f.canStart() {
		return false
	}
	from := f.stored + int64(len(f.flying)*directBytes)
	if end := from + directBytes; f.size < end {
		// Because a write that extends its file is none that the system takes on: start would wait for it.
		if f.disk.Truncate(end+directAhead) != nil {
			return false
		}
		f.size = end + directAhead
	}
	write := f.start(*f.block, from)
	if write == nil {
		return false
	}
	f.flying = append(f.flying, flight{f.block, write})
	return true
}

// land waits until the first of the flying blocks is in the file. One that the system has failed to write is written again.
func (f *bulkFile) land() error {
	first := &f.flying[0]
	if first.isWritten() {
		f.stored += directBytes
	} else if err := f.putBlock(*first.block); err != nil {
		return err
	}
	giveBlock(first.block)
	f.flying = append(f.flying[:0], f.flying[1:]...)
	return nil
}

func (f *bulkFile) landAll() error {
	for len(f.flying) > 0 {
		if err := f.land(); err != nil {
			return err
		}
	}
	return nil
}

// ground waits until the system has done with all blocks, which are to be written again.
func (f *bulkFile) ground() {
	for i := range f.flying {
		f.flying[i].isWritten()
	}
}
