//go:build !linux

package fs

func mountOf(string) Mount { return Mount{} }
