package job

import "testing"

// The vectors are those of the reference implementation of MurmurHash3_x64_128, seed 0, its two words in little-endian order.
func TestOperatorIDVectors(t *testing.T) {
	for _, c := range []struct{ uid, want string }{
		{"", "00000000000000000000000000000000"},
		{"hello", "029bbd41b3a7d8cb191dae486a901e5b"},
		{"hello, world", "8ebc5e3a62ac2f344d41429607bcdc4c"},
		{"The quick brown fox jumps over the lazy dog", "6c1b07bc7bbc4be347939ac4a93c437a"},
	} {
		if got := OperatorIDOf(c.uid).String(); got != c.want {
			t.Errorf("OperatorIDOf(%q) = %s, want %s", c.uid, got, c.want)
		}
	}
}

func TestParseIDRoundTrip(t *testing.T) {
	id := NewID()
	back, err := ParseID(id.String())
	if err != nil || back != id {
		t.Fatalf("ParseID(%s) = %s, %v", id, back, err)
	}
	for _, bad := range []string{"", "12", "zz" + id.String()[2:]} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("ParseID(%q): no error", bad)
		}
	}
}
