package main

import (
	"os"
	"testing"

	"github.com/weirstream/weir/internal/crashtest"
)

// asProgram makes the test's executable run as the program.
const asProgram = "FLIGHTS_TEST_RUN_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// program is the job as a process of its own.
func program(args ...string) crashtest.Program {
	return crashtest.Program{Path: os.Args[0], Args: args, Env: []string{asProgram + "=1"}}
}
