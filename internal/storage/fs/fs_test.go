package fs

import (
	"testing"

	"github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/storagetest"
)

func TestLocalKeepsTheContract(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.FS { return Local{Root: t.TempDir()} })
}

func TestMemoryKeepsTheContract(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.FS { return NewMemory() })
}

func TestFaultyWithoutFaultsKeepsTheContract(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.FS { return NewFaulty(NewMemory(), nil) })
}
