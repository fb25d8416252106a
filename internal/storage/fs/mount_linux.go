package fs

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// kinds are file systems by the number that statfs gives them, as far as they may be shared.
var kinds = map[int64]string{
	unix.NFS_SUPER_MAGIC:  "nfs",
	unix.CEPH_SUPER_MAGIC: "ceph",
	unix.SMB_SUPER_MAGIC:  "smb",
	unix.CIFS_SUPER_MAGIC: "cifs",
	unix.SMB2_SUPER_MAGIC: "smb",
	unix.FUSE_SUPER_MAGIC: "fuse",
	unix.AFS_SUPER_MAGIC:  "afs",
	unix.V9FS_MAGIC:       "9p",
	0x0BD00BD0:            "lustre",
	0x47504653:            "gpfs",
}

func mountOf(dir string) Mount {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Mount{}
	}
	kind, shared := kinds[int64(s.Type)]
	if !shared {
		return Mount{}
	}
	return Mount{Kind: kind, Network: true, LocalLocks: hasLocalLocks(optionsOf(dir))}
}

// optionsOf returns the options of the mount that a directory lies in, as far as they can be found.
func optionsOf(dir string) string {
	dir, err := filepath.EvalSymlinks(dir)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return ""
	}
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return ""
	}
	defer f.Close()
	best, options := "", ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			continue
		}
		at := strings.TrimRight(strings.ReplaceAll(fields[1], `\040`, " "), "/")
		if (dir == at || strings.HasPrefix(dir, at+"/")) && len(at) >= len(best) {
			best, options = at, fields[3]
		}
	}
	return options
}

// hasLocalLocks reads the options of NFS that keep locks from the server.
func hasLocalLocks(options string) bool {
	for o := range strings.SplitSeq(options, ",") {
		switch o {
		case "nolock", "local_lock=all", "local_lock=flock", "nobrl":
			return true
		}
	}
	return false
}
