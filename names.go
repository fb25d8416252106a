package weir

import (
	"maps"
	"slices"

	"github.com/weirstream/weir/internal/nearest"
)

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// nearestName returns the name that was probably meant.
func nearestName(name string, names []string) (string, bool) {
	return nearest.Name(name, names, nearest.Half(name))
}
