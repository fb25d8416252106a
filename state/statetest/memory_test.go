package statetest_test

import (
	"testing"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/state/statetest"
)

// TestMemory shows that the suite can be passed.
func TestMemory(t *testing.T) {
	statetest.Run(t, func(*testing.T) backend.Factory { return statetest.Memory{} })
}
