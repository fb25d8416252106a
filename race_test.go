//go:build race

package weir_test

// raced says that the race detector is on, with which all takes about eight times as long.
const raced = true
