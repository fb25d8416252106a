package fs

import (
	"errors"
	"io"
	"sync"
	"syscall"
	"unsafe"
)

const (
	// directFrom is the size of a write from which a file counts as large. Who writes less at a time is writing a small file, or gathers
	// nothing, and is served best by the system.
	directFrom = 64 << 10
	// directBytes is written at once past the page cache. A disk needs pieces of this order to be at its best.
	directBytes = 1 << 20
	// lentBytes is how far a block reaches behind directBytes, for who appends to it and cannot end there.
	lentBytes = 64 << 10
	// directAlign suits all disks in use, in memory and in the file. A file system that wants more refuses, and is written to as usual.
	directAlign = 4096
)

// bulkFile is a new file that is written from beginning to end, the bulk of a large one past the system's page cache where that can be.
//
// State is written once per checkpoint, and read only after a failure. In the page cache each of its pages costs an allocation and, on
// virtual machines that give unused memory back to their host, a fault there, which can take several times as long as copying it; it all
// happens on the CPUs that the tasks need, and pushes out of memory what others will read. Past it, the disk fetches the bytes itself
// while the writer sleeps.
//
// Where the system takes on writes (see systemFile), full blocks are left to it, and the writer goes on with the next one.
//
// Who writes much can spare himself a copy of it, if he appends it to availableBuffer. What he has appended is his until it is written, whatever becomes
// of the file: a block that may be in use so is not used for another file.
//
// A write that fails can be tried again: what the file is known to hold ends at stored, all else that was taken is in blocks, and a part of
// the failed write that did reach the file is written over, or cut off by resume.
type bulkFile struct {
	disk
	stored int64    // bytes in the file, before those of the first block that is flying
	block  *[]byte  // gathers directBytes behind them and behind those that are flying, aligned; nil while the file is written as usual
	lent   bool     // somebody may be appending to block, or writing what he has appended
	flying []flight // full blocks that were left to the system, in their order in the file; none if block is nil
	size   int64    // that the file was given for these, or less
	usual  bool     // the file system refuses to be written to past its cache
	cached bool     // some bytes were written as usual: only fsync tells whether they reached the disk
}

// disk is what a bulkFile needs of a systemFile.
type disk interface {
	io.WriterAt
	io.Closer
	syscall.Conn
	Name() string
	Sync() error
	Truncate(size int64) error
	canStart() bool
	start(p []byte, off int64) inFlight
}

// Write writes p, or keeps some of it for later.
func (f *bulkFile) Write(p []byte) (n int, err error) {
	if f.block == nil && !f.usual && len(p) >= directFrom {
		if n, err = f.align(p); err != nil {
			return n, err
		}
		f.begin()
	}
	if f.block == nil {
		m, err := f.writeCached(p[n:])
		return n + m, err
	}
	m, err := f.gather(p[n:])
	return n + m, err
}

// align writes as much of p as brings the file to a multiple of directAlign.
func (f *bulkFile) align(p []byte) (n int, err error) {
	return f.writeCached(p[:-f.stored&(directAlign-1)])
}

// writeCached writes p as usual.
func (f *bulkFile) writeCached(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	f.cached = true
	return f.put(p)
}

// put writes all of p behind what is stored, or has written nothing.
func (f *bulkFile) put(p []byte) (n int, err error) {
	if _, err := f.disk.WriteAt(p, f.stored); err != nil {
		return 0, err
	}
	f.stored += int64(len(p))
	return len(p), nil
}

// begin turns to writing past the cache, if it can be.
func (f *bulkFile) begin() {
	if setDirect(f.disk, true) != nil {
		f.usual = true
		return
	}
	f.block = blocks.Get().(*[]byte)
}

// gather writes p in aligned pieces, and keeps the rest in the block. What is large and aligned already it writes as it is, if it has to wait
// for that anyway.
func (f *bulkFile) gather(p []byte) (n int, err error) {
	if whole := len(p) &^ (directAlign - 1); whole >= directFrom && len(*f.block) == 0 && isAligned(p) && !f.canStart() {
		if n, err = f.writeAsItIs(p[:whole]); err != nil {
			return n, err
		}
	}
	for n < len(p) && f.block != nil {
		n += f.take(p[n:])
		if len(*f.block) == directBytes {
			if err := f.writeBlock(); err != nil {
				return n, err
			}
		}
	}
	if n == len(p) {
		return n, nil
	}
	m, err := f.writeCached(p[n:])
	return n + m, err
}

// take puts as much of p into the block as there is room for. It need not be copied if it was appended to availableBuffer.
func (f *bulkFile) take(p []byte) (n int) {
	room := (*f.block)[len(*f.block):directBytes]
	n = min(len(p), len(room))
	if unsafe.SliceData(room) != unsafe.SliceData(p) {
		copy(room, p)
	}
	*f.block = (*f.block)[:len(*f.block)+n]
	return n
}

// availableBuffer returns the room in the block, nil if there is no block. What is appended to it may be as long as it has room, and is given to
// the next Write.
func (f *bulkFile) availableBuffer() []byte {
	if f.block == nil {
		return nil
	}
	f.lent = true
	return (*f.block)[len(*f.block):len(*f.block):cap(*f.block)]
}

func isAligned(p []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(p)))&(directAlign-1) == 0
}

// writeAsItIs writes p without a copy. If the file system does not want that, the file goes on as usual, behind what was written.
func (f *bulkFile) writeAsItIs(p []byte) (n int, err error) {
	n, err = f.put(p)
	if errors.Is(err, syscall.EINVAL) {
		err = f.finish()
	}
	return n, err
}

// writeBlock empties the block, into the file or the system's hands. If the file system does not want it past its cache after all, the file
// goes on as usual.
func (f *bulkFile) writeBlock() error {
	if len(f.flying) == directFlights {
		if err := f.land(); err != nil {
			return err
		}
	}
	if !f.usual && f.launch() {
		f.block = blocks.Get().(*[]byte)
		return nil
	}
	if err := f.landAll(); err != nil {
		return err
	}
	if err := f.putBlock(*f.block); err != nil {
		return err
	}
	*f.block = (*f.block)[:0]
	if f.usual {
		f.drop()
	}
	return nil
}

// putBlock writes a block, as usual if the file system does not want it past its cache after all.
func (f *bulkFile) putBlock(p []byte) error {
	if !f.usual {
		_, err := f.put(p)
		if !errors.Is(err, syscall.EINVAL) {
			return err
		}
		if err := setDirect(f.disk, false); err != nil {
			return err
		}
		f.usual = true
	}
	_, err := f.writeCached(p)
	return err
}

// finish writes what is in the block as usual: it need not be a multiple of anything.
func (f *bulkFile) finish() error {
	if f.block == nil {
		return nil
	}
	err := f.landAll()
	if err == nil {
		err = setDirect(f.disk, false)
	}
	if err == nil {
		_, err = f.writeCached(*f.block)
	}
	if err == nil {
		*f.block = (*f.block)[:0]
		if f.size > f.stored {
			err = f.resume()
		}
	}
	if err == nil {
		f.usual = true
		f.drop()
	}
	return err
}

// resume cuts off what a write that failed may have left, or what the file was extended by.
func (f *bulkFile) resume() error {
	f.ground()
	f.size = 0
	return f.disk.Truncate(f.stored)
}

// pause writes what is in the block and lets the next large write begin a new one.
func (f *bulkFile) pause() error {
	if f.block == nil {
		return nil
	}
	if err := f.finish(); err != nil {
		return err
	}
	f.usual = false
	return nil
}

// drop gives the blocks back.
func (f *bulkFile) drop() {
	f.ground()
	for _, flown := range f.flying {
		giveBlock(flown.block)
	}
	f.flying = nil
	if f.block != nil && !f.lent {
		giveBlock(f.block)
	}
	f.block = nil
}

func giveBlock(b *[]byte) {
	*b = (*b)[:0]
	blocks.Put(b)
}

var blocks = sync.Pool{New: func() any {
	b := make([]byte, directBytes+lentBytes+directAlign)
	from := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (directAlign - 1)
	b = b[from : from : from+directBytes+lentBytes]
	return &b
}}
