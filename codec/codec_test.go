package codec

import (
	"reflect"
	"testing"
)

// Every sample comes back equal, leaves what follows it, and encodes to the same bytes again.
func TestRoundTrip(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			b := s.encode(s.value)
			back := s.fresh()
			rest, err := s.decode(append(b, "rest"...), back)
			if err != nil {
				t.Fatal(err)
			}
			if string(rest) != "rest" {
				t.Errorf("it left %q, want rest", rest)
			}
			if !reflect.DeepEqual(s.value, back) {
				t.Errorf("it came back as %+v, was %+v", reflect.ValueOf(back).Elem(), reflect.ValueOf(s.value).Elem())
			}
			if again := s.encode(back); string(again) != string(b) {
				t.Errorf("encoded again it is %x, was %x", again, b)
			}
		})
	}
}
