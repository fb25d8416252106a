package fs

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// setDirect says whether writes to the file go past the page cache. Whether the file system can do it may show only when it is written to.
func setDirect(f syscall.Conn, on bool) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := conn.Control(func(fd uintptr) {
		var flags int
		if flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0); err != nil {
			return
		}
		flags &^= unix.O_DIRECT
		if on {
			flags |= unix.O_DIRECT
		}
		_, err = unix.FcntlInt(fd, unix.F_SETFL, flags)
	})
	if ctlErr != nil {
		return ctlErr
	}
	return err
}
