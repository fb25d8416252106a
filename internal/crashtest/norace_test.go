//go:build !race

package crashtest_test

// buildArgs build the program as users do.
var buildArgs = []string{"build"}

const raced = false
