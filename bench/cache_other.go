//go:build !linux

package main

import "errors"

func dropFromCache(string) error {
	return errors.New("cold reads can be measured on Linux only; choose -only warm")
}
