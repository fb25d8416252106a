// Package nearest answers one question: which of the known names did somebody mean who wrote an unknown one?
//
// Names are compared as bytes. The distance of two names is the number of bytes to insert and delete to turn one into the other, so a
// replaced byte counts two: another word of the same length in the same place is not near, two swapped letters are.
package nearest

// Name returns the known name with the smallest distance to name, of several the first. ok is false if none is within the given
// distance. How far to look is the caller's choice: names that are many and alike need a shorter distance than a few that differ.
func Name(name string, known []string, within int) (nearest string, ok bool) {
	limit := within + 1
	for _, k := range known {
		if d := distance(name, k, limit); d < limit {
			limit, nearest, ok = d, k, true
		}
	}
	return nearest, ok
}

// Half is a distance for few names: half of the name may be wrong.
func Half(name string) int { return max(1, len(name)/2) }

// distance returns the distance between a and b, or some number of at least limit if it is not below limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
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
				replace += 2
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
