package weir

import (
	"maps"
	"slices"
)

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// nearestName returns the name that takes the fewest changed letters to get to, if they are few.
func nearestName(name string, names []string) (nearest string, ok bool) {
	best := len(name)/2 + 1
	for _, n := range names {
		if d := distance(name, n); d < best {
			best, nearest, ok = d, n, true
		}
	}
	return nearest, ok
}

// distance is Levenshtein's: how many letters must be inserted, removed or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
