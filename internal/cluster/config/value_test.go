package config

import (
	"math"
	"slices"
	"testing"
	"time"
)

// The forms that Flink accepts, and near misses.
func TestParseDuration(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration // -1: refused
	}{
		{"600000", 10 * time.Minute},
		{"0", 0},
		{"10 min", 10 * time.Minute},
		{"10min", 10 * time.Minute},
		{" 10\tm ", 10 * time.Minute},
		{"2 days", 48 * time.Hour},
		{"1 day", 24 * time.Hour},
		{"1d", 24 * time.Hour},
		{"3 Hours", 3 * time.Hour},
		{"3 hour", 3 * time.Hour},
		{"3h", 3 * time.Hour},
		{"4 minutes", 4 * time.Minute},
		{"4 minute", 4 * time.Minute},
		{"5 SECONDS", 5 * time.Second},
		{"5 sec", 5 * time.Second},
		{"5s", 5 * time.Second},
		{"6 ms", 6 * time.Millisecond},
		{"6 millis", 6 * time.Millisecond},
		{"6 milliseconds", 6 * time.Millisecond},
		{"7 us", 7 * time.Microsecond},
		{"7 µs", 7 * time.Microsecond},
		{"7 micros", 7 * time.Microsecond},
		{"8ns", 8},
		{"8 nanoseconds", 8},
		{"9223372036854775807 ns", math.MaxInt64},
		{"007 s", 7 * time.Second},

		{"", -1},
		{"s", -1},
		{"-1 s", -1},
		{"+1 s", -1},
		{"1.5 s", -1},
		{"1m30s", -1},
		{"1 m 30 s", -1},
		{"10 weeks", -1},
		{"PT10S", -1},
		{"106752 d", -1},
		{"9223372036854775808 ns", -1},
		{"99999999999999999999999", -1},
		{"18446744073709551615 d", -1},
	} {
		got, err := ParseDuration(c.in)
		if (err != nil) != (c.want < 0) || err == nil && got != c.want {
			t.Errorf("ParseDuration(%q) = %v, %v", c.in, got, err)
		}
	}
}

func TestParseSize(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int64 // -1: refused
	}{
		{"4096", 4096},
		{"1b", 1},
		{"12 bytes", 12},
		{"20 kb", 20 << 10},
		{"20K", 20 << 10},
		{"20 kibibytes", 20 << 10},
		{"32 mb", 32 << 20},
		{"32m", 32 << 20},
		{"32 mebibytes", 32 << 20},
		{"2 GB", 2 << 30},
		{"2 g", 2 << 30},
		{"2 gibibytes", 2 << 30},
		{"1tb", 1 << 40},
		{"1 t", 1 << 40},
		{"1 tebibytes", 1 << 40},

		{"", -1},
		{"mb", -1},
		{"-1 mb", -1},
		{"0.5 mb", -1},
		{"1 mib", -1},
		{"1 s", -1},
		{"8388608 tb", -1},
	} {
		got, err := ParseSize(c.in)
		if (err != nil) != (c.want < 0) || err == nil && got != c.want {
			t.Errorf("ParseSize(%q) = %v, %v", c.in, got, err)
		}
	}
}

func TestFormat(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ms", 90 * time.Second: "90 s", 36 * time.Hour: "36 h", 48 * time.Hour: "2 d", 1500 * time.Microsecond: "1500 us",
		-5 * time.Second: "-5 s", math.MinInt64: "-9223372036854775808 ns",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("FormatDuration(%d) = %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 b", 1000: "1000 b", 20 << 10: "20 kb", 5 << 20: "5 mb", 3 << 40: "3 tb"} {
		if got := FormatSize(n); got != want {
			t.Errorf("FormatSize(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestParsePaths(t *testing.T) {
	for in, want := range map[string][]string{"/a": {"/a"}, "/a, /b:/c,": {"/a", "/b", "/c"}, "": nil, " ,:": nil} {
		got, err := parsePaths(in)
		if !slices.Equal(got, want) || (err != nil) != (want == nil) {
			t.Errorf("parsePaths(%q) = %q, %v", in, got, err)
		}
	}
}

// What is read can be written and read again.
func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"10 min", "600000", "1d", "7 µs", "-1 s", "1m30s", "9223372036854775807 ns"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if again, err := ParseDuration(FormatDuration(d)); err != nil || again != d || d < 0 {
			t.Errorf("%q is %d, written %q, read %d, %v", s, d, FormatDuration(d), again, err)
		}
	})
}

// What is read can be written and read again.
func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"20 kb", "4096", "1t", "32 mebibytes", "8388607 tb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			return
		}
		if again, err := ParseSize(FormatSize(n)); err != nil || again != n || n < 0 {
			t.Errorf("%q is %d, written %q, read %d, %v", s, n, FormatSize(n), again, err)
		}
	})
}
