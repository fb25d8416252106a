package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// unit is a factor and the words for it, the one used for writing first.
type unit struct {
	factor uint64
	words  []string
}

// The words are Flink's, so that a configuration made for it keeps its meaning: "m" is minutes in a duration and mebibytes in
// a size.
var durationUnits = []unit{
	{uint64(24 * time.Hour), []string{"d", "day", "days"}},
	{uint64(time.Hour), []string{"h", "hour", "hours"}},
	{uint64(time.Minute), []string{"min", "m", "minute", "minutes"}},
	{uint64(time.Second), []string{"s", "sec", "secs", "second", "seconds"}},
	{uint64(time.Millisecond), []string{"ms", "milli", "millis", "millisecond", "milliseconds"}},
	{uint64(time.Microsecond), []string{"us", "µs", "μs", "micro", "micros", "microsecond", "microseconds"}},
	{uint64(time.Nanosecond), []string{"ns", "nano", "nanos", "nanosecond", "nanoseconds"}},
}

var sizeUnits = []unit{
	{1 << 40, []string{"tb", "t", "tebibytes"}},
	{1 << 30, []string{"gb", "g", "gibibytes"}},
	{1 << 20, []string{"mb", "m", "mebibytes"}},
	{1 << 10, []string{"kb", "k", "kibibytes"}},
	{1, []string{"b", "bytes"}},
}

// ParseDuration reads "10 min", "10min" or a bare number of milliseconds. The number is a whole one and not negative; the
// word may be in any case.
func ParseDuration(s string) (time.Duration, error) {
	n, err := parseQuantity(s, durationUnits, uint64(time.Millisecond))
	if err == nil {
		return time.Duration(n), nil
	}
	if d, goErr := time.ParseDuration(strings.TrimSpace(s)); goErr == nil && d >= 0 {
		return 0, fmt.Errorf("not a duration; write one whole number and one unit: %s", FormatDuration(d))
	}
	return 0, fmt.Errorf("not a duration (%w); write a whole number and one of d, h, min, s, ms, us, ns, such as 10 min", err)
}

// FormatDuration writes a duration in the largest unit that keeps it exact: "90 s". ParseDuration reads it back if it is not
// negative.
func FormatDuration(d time.Duration) string { return formatQuantity(int64(d), durationUnits, "ms") }

// ParseSize reads "20 kb", "20k" or a bare number of bytes, base 1024. The word may be in any case.
func ParseSize(s string) (int64, error) {
	n, err := parseQuantity(s, sizeUnits, 1)
	if err != nil {
		return 0, fmt.Errorf("not a size (%w); write a whole number and one of b, kb, mb, gb, tb, such as 20 kb", err)
	}
	return int64(n), nil
}

// FormatSize writes a size in the largest unit that keeps it exact: "20 kb". ParseSize reads it back if it is not negative.
func FormatSize(n int64) string { return formatQuantity(n, sizeUnits, "b") }

var (
	errNoNumber = errors.New("it does not begin with a digit")
	errNegative = errors.New("negative")
	errTooLarge = errors.New("too large")
)

// parseQuantity reads a whole number and a unit; the result fits an int64.
func parseQuantity(s string, units []unit, bare uint64) (uint64, error) {
	s = strings.TrimSpace(s)
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	if strings.HasPrefix(s, "-") {
		return 0, errNegative
	}
	if digits == 0 {
		return 0, errNoNumber
	}
	n, err := strconv.ParseUint(s[:digits], 10, 64)
	if err != nil {
		return 0, errTooLarge
	}
	factor := bare
	if word := strings.TrimSpace(s[digits:]); word != "" {
		if factor, err = unitFactor(word, units); err != nil {
			return 0, err
		}
	}
	hi, product := bits.Mul64(n, factor)
	if hi != 0 || product > math.MaxInt64 {
		return 0, errTooLarge
	}
	return product, nil
}

func unitFactor(word string, units []unit) (uint64, error) {
	lower := strings.ToLower(word)
	for _, u := range units {
		for _, w := range u.words {
			if w == lower {
				return u.factor, nil
			}
		}
	}
	return 0, fmt.Errorf("no unit is called %q", word)
}

func formatQuantity(n int64, units []unit, zero string) string {
	if n == 0 {
		return "0 " + zero
	}
	sign, size := "", uint64(n)
	if n < 0 {
		sign, size = "-", -size
	}
	u := units[slices.IndexFunc(units, func(u unit) bool { return size%u.factor == 0 })] // the last factor is 1
	return fmt.Sprintf("%s%d %s", sign, size/u.factor, u.words[0])
}

// parseInt reads a whole number of 32 bits: the largest, 2147483647, stands for "no limit" in some options, on every machine.
func parseInt(s string) (int, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
	if err != nil {
		return 0, wholeNumberError(err)
	}
	return int(n), nil
}

func parseLong(s string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0, wholeNumberError(err)
	}
	return n, nil
}

func wholeNumberError(err error) error {
	if errors.Is(err, strconv.ErrRange) {
		return errors.New("too large for its type")
	}
	return errors.New("not a whole number; write one such as 3, without unit")
}

func parseFloat(s string) (float64, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, errors.New("not a number; write one such as 1.5")
	}
	return f, nil
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New("neither true nor false")
}

func parseString(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", errors.New("empty; give it a value or remove it")
	}
	return s, nil
}

// parsePaths splits at ',' and, as PATH does, at ':'.
func parsePaths(s string) ([]string, error) {
	var out []string
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r == ':' }) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("empty; list directories separated by ','")
	}
	return out, nil
}

// enum maps the values 0, 1, 2 ... of T to names. Each value has the name that is written first and others that are read.
type enum[T ~uint8] struct {
	names [][]string

	hints    map[string]string // for a name that is no value but likely: what to do instead
	register string            // the function that adds values, "" if there is none

	classes map[string]string // part of a Java class's name in lower case -> name, where the name itself is not such a part
}

// name returns the name of v; of a v that is none of the values a text that parse refuses.
func (e *enum[T]) name(v T) string {
	if int(v) >= len(e.names) {
		return fmt.Sprintf("value %d", v)
	}
	return e.names[v][0]
}

// known reports whether a value has this name.
func (e *enum[T]) known(name string) bool {
	_, err := e.parse(name)
	return err == nil
}

func (e *enum[T]) all() []string {
	out := make([]string, len(e.names))
	for i, names := range e.names {
		out[i] = names[0]
	}
	return out
}

func (e *enum[T]) parse(raw string) (T, error) {
	s := strings.TrimSpace(raw)
	for i, names := range e.names {
		for _, name := range names {
			if strings.EqualFold(name, s) {
				return T(i), nil
			}
		}
	}
	return 0, e.unknown(s)
}

var javaClass = regexp.MustCompile(`^[a-zA-Z_]\w*(\.[a-zA-Z_$][\w$]*)+$`)

func (e *enum[T]) unknown(s string) error {
	if hint, ok := e.hints[strings.ToLower(s)]; ok {
		return errors.New(hint)
	}
	values := strings.Join(e.all(), ", ")
	if !javaClass.MatchString(s) {
		return fmt.Errorf("not one of its values; write one of %s", values)
	}
	if name := e.shortcut(s); name != "" {
		return fmt.Errorf("a Java class, which Weir cannot load; write %s", name)
	}
	if e.register != "" {
		return fmt.Errorf("a Java class, which Weir cannot load; write one of %s, or the name of a Go implementation that the job's program registers with %s",
			values, e.register)
	}
	return fmt.Errorf("a Java class, which Weir cannot load; write one of %s "+
		"(an implementation of your own is a Go type that the job's program registers under a name; that is not available yet)", values)
}

// shortcut returns what to write for a Java class, or "". The longest word in the class's name decides: FixedDelay... has a
// "backoff" in it too.
func (e *enum[T]) shortcut(class string) string {
	words := maps.Clone(e.classes)
	if words == nil {
		words = map[string]string{}
	}
	for _, names := range e.names {
		for _, name := range names {
			words[strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))] = names[0]
		}
	}
	class = strings.ToLower(class[strings.LastIndexByte(class, '.')+1:])
	longest := ""
	for word := range words {
		if strings.Contains(class, word) && (len(word) > len(longest) || len(word) == len(longest) && word < longest) {
			longest = word
		}
	}
	return words[longest]
}
