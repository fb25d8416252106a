//go:build race

package crashtest_test

// buildArgs build the program like the test, so that its races are found too.
var buildArgs = []string{"build", "-race"}

const raced = true
