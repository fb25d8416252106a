package weirtest

import (
	"fmt"
	"slices"
	"strings"
)

// texts returns records as they are compared and shown.
func texts[R any](records []R) []string {
	all := make([]string, len(records))
	for i, r := range records {
		all[i] = fmt.Sprintf("%+v", r)
	}
	return all
}

// most is how many records of a kind are shown.
const most = 20

// differSorted says what one collection of records has that the other has not, in whatever order; empty if nothing.
func differSorted(got, want []string) string {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	var missing, extra []string
	for len(got)+len(want) > 0 {
		switch {
		case len(got) == 0 || len(want) > 0 && want[0] < got[0]:
			missing, want = append(missing, want[0]), want[1:]
		case len(want) == 0 || got[0] < want[0]:
			extra, got = append(extra, got[0]), got[1:]
		default:
			got, want = got[1:], want[1:]
		}
	}
	return list("missing", missing) + list("too much", extra)
}

func list(what string, records []string) string {
	if len(records) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  %s:\n", what)
	for i := 0; i < len(records); {
		n := 1
		for i+n < len(records) && records[i+n] == records[i] {
			n++
		}
		switch {
		case i >= most:
			fmt.Fprintf(&b, "    ... and %d more\n", len(records)-i)
			return b.String()
		case n > 1:
			fmt.Fprintf(&b, "    %s (%d times)\n", records[i], n)
		default:
			fmt.Fprintf(&b, "    %s\n", records[i])
		}
		i += n
	}
	return b.String()
}

// differInOrder shows two sequences side by side where they part; empty if they do not.
func differInOrder(got, want []string) string {
	if slices.Equal(got, want) {
		return ""
	}
	same := 0
	for same < min(len(got), len(want)) && got[same] == want[same] {
		same++
	}
	var b strings.Builder
	show := func(what string, records []string) {
		fmt.Fprintf(&b, "  %s (%d):\n", what, len(records))
		from := max(0, same-2)
		if from > 0 {
			fmt.Fprintf(&b, "      ... %d that are the same\n", from)
		}
		for i := from; i < len(records); i++ {
			if i >= from+most {
				fmt.Fprintf(&b, "      ... and %d more\n", len(records)-i)
				break
			}
			mark := " "
			if i >= same && (i >= len(got) || i >= len(want) || got[i] != want[i]) {
				mark = ">"
			}
			fmt.Fprintf(&b, "    %s %s\n", mark, records[i])
		}
	}
	show("got", got)
	show("want", want)
	return b.String()
}
