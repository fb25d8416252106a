package nearest

import "testing"

// The nearest name within the distance is found, and nothing beyond it.
func TestName(t *testing.T) {
	flags := []string{"p", "s", "input", "output", "fresh", "rewind", "withdraw", "h"}
	for _, c := range []struct{ name, want string }{
		{"input", "input"},
		{"inptu", "input"},
		{"inputs", "input"},
		{"wihtdraw", "withdraw"},
		{"p2", "p"},
		{"fresch", "fresh"},
		{"x", ""},
		{"verbose", ""},
		{"", "p"}, // a name of one letter is one insertion away
	} {
		got, ok := Name(c.name, flags, Half(c.name))
		if got != c.want || ok != (c.want != "") {
			t.Errorf("Name(%q) = %q, %v, want %q", c.name, got, ok, c.want)
		}
	}
	if got, ok := Name("abc", []string{"abcd", "abd"}, 0); ok {
		t.Errorf("within 0 found %q", got)
	}
	if got, _ := Name("abc", []string{"abcd", "abce"}, 1); got != "abcd" {
		t.Errorf("of two at the same distance %q was found, want the first", got)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"abc", "abc", 0}, {"abc", "ab", 1}, {"", "ab", 2}, {"abc", "axc", 2}, {"ab", "ba", 2}, {"kitten", "sitting", 5},
	} {
		if got := distance(c.a, c.b, 100); got != c.want || distance(c.b, c.a, 100) != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := distance(c.a, c.b, c.want); got < c.want {
			t.Errorf("distance(%q, %q) with a limit = %d, want at least %d", c.a, c.b, got, c.want)
		}
	}
}
