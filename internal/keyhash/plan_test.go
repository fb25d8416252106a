package keyhash

import (
	"math"
	"testing"
)

type city string

// Types that look alike hash alike whatever their names, and every shape of key follows the rule that Of documents.
func TestOfFollowsItsRule(t *testing.T) {
	check(t, city("ATL"), String("ATL"))
	check(t, int32(-5), Uint64(math.MaxUint64-4))
	check(t, true, Uint64(1))
	check(t, [2]uint16{3, 4}, Pair(3, 4))
	check(t, struct {
		A int8
		B int64
	}{-1, 9}, Pair(math.MaxUint64, 9))
	check(t, struct{ From, To string }{"ATL", "SAV"}, Add(Add(0, String("ATL")), String("SAV")))
	check(t, struct {
		A string
		B [2]int32
	}{"x", [2]int32{1, 2}}, Add(Add(Add(0, String("x")), 1), 2))
	check(t, math.Copysign(0, -1), Uint64(0))
	check(t, 1.5, Uint64(math.Float64bits(1.5)))
	check(t, float32(1.5), Uint64(math.Float64bits(1.5)))
}

func check[K comparable](t *testing.T, key K, want uint64) {
	t.Helper()
	hash, valid, err := Of[K]()
	if err != nil {
		t.Fatalf("%T: %v", key, err)
	}
	if got := hash(&key); got != want {
		t.Errorf("%T %v: %#x, want %#x", key, key, got, want)
	}
	if valid != nil && !valid(&key) {
		t.Errorf("%T %v: not valid", key, key)
	}
}

func TestNaNIsNoKey(t *testing.T) {
	_, valid, err := Of[struct{ F float32 }]()
	if err != nil {
		t.Fatal(err)
	}
	if key := (struct{ F float32 }{float32(math.NaN())}); valid(&key) {
		t.Error("NaN equals nothing, so nothing would ever be found under it")
	}
}

func TestOfRefusesWhatHasNoStableHash(t *testing.T) {
	if _, _, err := Of[*int](); err == nil {
		t.Error("a pointer differs in every process")
	}
	if _, _, err := Of[struct{ A any }](); err == nil {
		t.Error("an interface has no known type")
	}
}
