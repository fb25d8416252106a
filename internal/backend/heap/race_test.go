//go:build race

package heap_test

const raceDetector = true
