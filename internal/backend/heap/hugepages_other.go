//go:build unix && !linux && !race

package heap

// adviseHuge does nothing: the system decides by itself.
func adviseHuge([]byte) {}
