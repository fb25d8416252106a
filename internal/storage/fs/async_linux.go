package fs

import (
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// systemFile is a file whose writes past the page cache can be left to the system, by its asynchronous I/O (io_submit(2)). A goroutine that
// waits in write(2) keeps one of the scheduler's processors from all others until the scheduler's monitor notices, which under load takes
// longer than the write. One that waits for the file's events waits as it would for a network.
type systemFile struct {
	*os.File
	events *os.File // becomes readable when requests are done; nil before canStart
}

// canStart reports whether writes can be left to the system, after which the file's Sync is left to it too.
func (f *systemFile) canStart() bool {
	if f.events != nil {
		return true
	}
	if requests().context == 0 {
		return false
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return false
	}
	f.events = os.NewFile(uintptr(fd), "eventfd")
	return true
}

// start has the system write p, which is not to be changed until wait of what it returns has returned. It returns nil if the system takes no more.
func (f *systemFile) start(p []byte, off int64) inFlight { return f.submit(iocbPwrite, p, off) }

// Sync is that of the file, but left to the system if writes were.
func (f *systemFile) Sync() error {
	if f.events == nil {
		return f.File.Sync()
	}
	r := f.submit(iocbFsync, nil, 0)
	if r == nil {
		return f.File.Sync()
	}
	if err := r.wait(); err != nil {
		return &os.PathError{Op: "sync", Path: f.Name(), Err: err}
	}
	return nil
}

// Close closes the file. There must be no requests in flight.
func (f *systemFile) Close() error {
	if f.events != nil {
		f.events.Close()
	}
	return f.File.Close()
}

// submit returns nil if the system takes no more.
func (f *systemFile) submit(op uint16, p []byte, off int64) inFlight {
	r := &request{file: f, p: p}
	if err := requests().submit(op, r, off); err != nil {
		return nil
	}
	return r
}

// request is what the system does for a file.
type request struct {
	file   *systemFile
	p      []byte // held here for the system, which the garbage collector does not know
	result int64  // bytes, or the negated number of an error
	over   bool   // guarded by the queue
}

// wait returns when the request is done. An error means that any part of p may be in the file.
func (r *request) wait() error {
	var count [8]byte
	for !requests().collect(r) {
		if _, err := r.file.events.Read(count[:]); err != nil {
			runtime.Gosched() // p is the system's for as long as the request is not over, so there is nothing but to ask again
		}
	}
	if r.result < 0 {
		return syscall.Errno(-r.result)
	}
	if r.result < int64(len(r.p)) {
		return io.ErrShortWrite
	}
	return nil
}

// queueDepth is how many requests of the whole process the system accepts; who comes when there are so many waits for its writes itself.
const queueDepth = 256

// queue is the process's one, which lives as long as it does: to take one down makes all of the system's processors wait.
//
// It has no goroutine. Whoever waits collects what is done, of all files: then the others find their own done.
type queue struct {
	context uintptr // of io_setup(2), 0 if there is none here

	mu      sync.Mutex
	waiting map[uint64]*request
	last    uint64 // key in waiting
	done    [queueDepth]ioEvent
}

var requests = sync.OnceValue(func() *queue {
	q := &queue{waiting: map[uint64]*request{}}
	// Some sandboxes forbid it, and a system has only so many.
	if _, _, err := unix.Syscall(unix.SYS_IO_SETUP, queueDepth, uintptr(unsafe.Pointer(&q.context)), 0); err != 0 {
		q.context = 0
	}
	return q
})

// The system's structures and numbers, from linux/aio_abi.h.
const (
	iocbPwrite = 1
	iocbFsync  = 2
	iocbResFD  = 1 // in flags: events goes up when the request is done
)

type iocb struct {
	data   uint64
	_      [2]uint32
	op     uint16
	_      int16
	file   uint32
	buf    uint64
	bytes  uint64
	offset int64
	_      uint64
	flags  uint32
	events uint32
}

type ioEvent struct {
	data, object uint64
	result, _    int64
}

func (q *queue) submit(op uint16, r *request, off int64) error {
	cb := &iocb{op: op, buf: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(r.p)))), bytes: uint64(len(r.p)), offset: off, flags: iocbResFD}
	cb.data = q.add(r)
	err := withDescriptor(r.file.File, func(file uintptr) error {
		return withDescriptor(r.file.events, func(events uintptr) error {
			cb.file, cb.events = uint32(file), uint32(events)
			if _, _, err := unix.Syscall(unix.SYS_IO_SUBMIT, q.context, 1, uintptr(unsafe.Pointer(&cb))); err != 0 {
				return err
			}
			return nil
		})
	})
	if err != nil {
		q.remove(cb.data)
	}
	return err
}

func (q *queue) add(r *request) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last++
	q.waiting[q.last] = r
	return q.last
}

func (q *queue) remove(key uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.waiting, key)
}

// collect takes note of all that is done, without waiting, and reports whether r is.
func (q *queue) collect(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.over {
		return true
	}
	n, _, err := unix.Syscall6(unix.SYS_IO_GETEVENTS, q.context, 0, queueDepth, uintptr(unsafe.Pointer(&q.done[0])), 0, 0)
	if err != 0 {
		return false // interrupted
	}
	for _, e := range q.done[:n] {
		if r := q.waiting[e.data]; r != nil {
			r.result, r.over = e.result, true
			delete(q.waiting, e.data)
		}
	}
	return r.over
}
