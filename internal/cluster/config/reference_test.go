package config

import (
	"os"
	"testing"
)

// The page in docs says what the declarations say.
func TestReferenceIsCurrent(t *testing.T) {
	page, err := os.ReadFile("../../../docs/reference/config.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != Reference() {
		t.Error("docs/reference/config.md is stale; run go generate ./internal/cluster/config")
	}
}
