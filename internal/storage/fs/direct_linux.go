package fs

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// setDirect says whether writes to the file go past the page cache. Whether the file system can do it may show only when it is written to.
func setDirect(f syscall.Conn, on bool) error {
	return withDescriptor(f, func(fd uintptr) error {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		if err != nil {
			return err
		}
		flags &^= unix.O_DIRECT
		if on {
			flags |= unix.O_DIRECT
		}
		_, err = unix.FcntlInt(fd, unix.F_SETFL, flags)
		return err
	})
}

// withDescriptor does something with the descriptor of a file, which stays open meanwhile.
func withDescriptor(f syscall.Conn, do func(fd uintptr) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := conn.Control(func(fd uintptr) { err = do(fd) })
	if ctlErr != nil {
		return ctlErr
	}
	return err
}
