package weir

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Args are the flags of the user's own program. A flag is declared where it is read:
//
//	input := j.Args().String("input", "book.txt", "text to count")
//
// Flags are written -name value, -name=value or with two dashes. If a flag is repeated the last one wins. A flag that nobody declared is an
// error when the job is run.
type Args struct {
	given    map[string]string
	declared []argument
	known    map[string]bool
	errs     []error
}

type argument struct{ name, value, usage string }

func newArgs(given map[string]string) *Args {
	return &Args{given: given, known: map[string]bool{}}
}

// String returns the value of a flag.
func (a *Args) String(name, value, usage string) string { return arg(a, name, value, usage, identity) }

// Int returns the value of a flag that is a whole number.
func (a *Args) Int(name string, value int, usage string) int {
	return arg(a, name, value, usage, strconv.Atoi)
}

// Float returns the value of a flag that is a number.
func (a *Args) Float(name string, value float64, usage string) float64 {
	return arg(a, name, value, usage, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
}

// Bool returns the value of a flag that is true or false; the flag alone means true if it is written with = or last.
func (a *Args) Bool(name string, value bool, usage string) bool {
	return arg(a, name, value, usage, strconv.ParseBool)
}

// Duration returns the value of a flag that is a length of time, such as 1m30s.
func (a *Args) Duration(name string, value time.Duration, usage string) time.Duration {
	return arg(a, name, value, usage, time.ParseDuration)
}

func identity(s string) (string, error) { return s, nil }

func arg[V any](a *Args, name string, value V, usage string, parse func(string) (V, error)) V {
	if !a.known[name] {
		a.known[name] = true
		a.declared = append(a.declared, argument{name, fmt.Sprint(value), usage})
	}
	text, ok := a.given[name]
	if !ok {
		return value
	}
	v, err := parse(text)
	if err != nil {
		a.errs = append(a.errs, fmt.Errorf("flag -%s %q: want %s such as %v", name, text, kindOf(value), value))
		return value
	}
	return v
}

// kindOf names the type of a flag's value in the user's words.
func kindOf(value any) string {
	switch value.(type) {
	case int:
		return "a whole number"
	case float64:
		return "a number"
	case bool:
		return "true or false,"
	case time.Duration:
		return "a length of time"
	}
	return "a text"
}

// check returns the mistakes in the flags that were given, once all have been declared.
func (a *Args) check() []error {
	errs := a.errs
	for _, name := range sortedNames(a.given) {
		if !a.known[name] {
			errs = append(errs, fmt.Errorf("unknown flag -%s%s", name, a.nearest(name)))
		}
	}
	return errs
}

func (a *Args) nearest(name string) string {
	var names []string
	for _, d := range a.declared {
		names = append(names, d.name)
	}
	for _, f := range commonFlags {
		names = append(names, f.name)
	}
	if n, ok := nearestName(name, names); ok {
		return fmt.Sprintf(": did you mean -%s?", n)
	}
	return ": see -help"
}

// usage writes what the program's own flags are.
func (a *Args) usage(w io.Writer) {
	for _, d := range a.declared {
		fmt.Fprintf(w, "  -%-22s %s (default %q)\n", d.name, d.usage, d.value)
	}
}

// isFlag reports whether an argument of the command line is a flag, and cuts it into name and value.
func isFlag(s string) (name, value string, hasValue, ok bool) {
	if len(s) < 2 || s[0] != '-' {
		return "", "", false, false
	}
	s = strings.TrimPrefix(strings.TrimPrefix(s, "-"), "-")
	if s == "" || s[0] == '=' || s[0] == '-' {
		return "", "", false, false
	}
	name, value, hasValue = strings.Cut(s, "=")
	return name, value, hasValue, true
}
