package fs

import "testing"

// Which options of a mount keep locks from the server.
func TestLocalLocks(t *testing.T) {
	for options, want := range map[string]bool{
		"rw,relatime,vers=4.2,hard,proto=tcp,local_lock=none": false,
		"rw,vers=3,nolock,proto=tcp":                          true,
		"rw,local_lock=all":                                   true,
		"rw,local_lock=flock":                                 true,
		"rw,local_lock=posix":                                 false,
	} {
		if got := hasLocalLocks(options); got != want {
			t.Errorf("%s: %v, want %v", options, got, want)
		}
	}
	if m := MountOf(t.TempDir()); m.LocalLocks && !m.Network {
		t.Errorf("%+v", m)
	}
}
