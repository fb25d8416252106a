package weir

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/nearest"
)

// Args are the flags of the user's own program. A flag is declared where it is read:
//
//	input := j.Args().String("input", "book.txt", "text to count")
//
// Flags are written -name value, -name=value or with two dashes. If a flag is repeated the last one wins. A flag that nobody declared, one
// whose value cannot be read, and one declared with the name of a flag that all jobs have are errors when the job is run; until then the
// default is returned.
//
// A job that is not run by Main has no flags: every one has its default.
type Args struct {
	given    map[string]given
	declared []argument
	known    map[string]bool
	errs     []error
}

// given is a flag on the command line. Without a value it is alone.
type given struct {
	value string
	alone bool
}

// argument is a declared flag. The kind of its value is empty for a switch.
type argument struct{ name, kind, value, usage string }

func newArgs(flags map[string]given) *Args {
	return &Args{given: flags, known: map[string]bool{}}
}

// String returns the value of a flag.
func (a *Args) String(name, value, usage string) string {
	return arg(a, argument{name, "text", value, usage}, value, func(s string) (string, error) { return s, nil })
}

// Int returns the value of a flag that is a whole number.
func (a *Args) Int(name string, value int, usage string) int {
	return arg(a, argument{name, "integer", strconv.Itoa(value), usage}, value, strconv.Atoi)
}

// Float returns the value of a flag that is a number.
func (a *Args) Float(name string, value float64, usage string) float64 {
	return arg(a, argument{name, "number", fmt.Sprint(value), usage}, value, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
}

// Bool returns the value of a flag that is true or false. The flag alone means true; for false write -name=false.
func (a *Args) Bool(name string, value bool, usage string) bool {
	if g, ok := a.given[name]; ok && g.alone {
		a.given[name] = given{value: "true"}
	}
	return arg(a, argument{name, "", strconv.FormatBool(value), usage}, value, strconv.ParseBool)
}

// Duration returns the value of a flag that is a length of time, such as 1m30s.
func (a *Args) Duration(name string, value time.Duration, usage string) time.Duration {
	return arg(a, argument{name, "duration", value.String(), usage}, value, time.ParseDuration)
}

// arg declares a flag and returns its value.
func arg[V any](a *Args, d argument, value V, parse func(string) (V, error)) V {
	a.declare(d)
	g, ok := a.given[d.name]
	if !ok {
		return value
	}
	if g.alone {
		a.fail("flag -%s needs a value: -%s <%s>, or -%s=<%s> if it begins with a dash", d.name, d.name, d.kind, d.name, d.kind)
		return value
	}
	v, err := parse(g.value)
	switch {
	case err == nil:
		return v
	case d.kind == "":
		a.fail("flag -%s: %q is neither true nor false", d.name, g.value)
	default:
		a.fail("flag -%s: %q is not %s such as %s", d.name, g.value, withArticle(d.kind), example(d))
	}
	return value
}

func withArticle(kind string) string {
	if kind == "integer" {
		return "an integer"
	}
	return "a " + kind
}

// example returns a value that a flag could have.
func example(d argument) string {
	if d.kind == "duration" && d.value == "0s" {
		return "1m30s"
	}
	return d.value
}

func (a *Args) declare(d argument) {
	if a.known[d.name] {
		return
	}
	a.known[d.name] = true
	if _, common := findCommon(d.name); common || isDefine(d.name) {
		a.fail("the program declares a flag -%s, which all jobs have already: give it another name", d.name)
	}
	a.declared = append(a.declared, d)
}

func (a *Args) fail(format string, args ...any) { a.errs = append(a.errs, fmt.Errorf(format, args...)) }

// unknown returns the flags that were given and that nobody has declared.
func (a *Args) unknown() (errs []error) {
	for _, name := range slices.Sorted(maps.Keys(a.given)) {
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
	if n, ok := nearest.Name(name, names, nearest.Half(name)); ok {
		return fmt.Sprintf(": did you mean -%s?", n)
	}
	return ": see -help"
}

// usage writes what the program's own flags are.
func (a *Args) usage(w io.Writer) {
	for _, d := range a.declared {
		usage := d.usage
		if d.value != "" && d.value != "false" {
			usage += fmt.Sprintf(" (default %s)", d.value)
		}
		writeFlag(w, d.name, d.kind, usage)
	}
}

// writeFlag writes one line of help. A flag too long for its column has it to itself.
func writeFlag(w io.Writer, name, value, usage string) {
	if value != "" {
		name += " <" + value + ">"
	}
	if len(name) > 22 {
		name += "\n" + strings.Repeat(" ", 25)
	}
	fmt.Fprintf(w, "  -%-22s %s\n", name, usage)
}

// isFlag reports whether an argument of the command line is a flag, and cuts it into name and value.
func isFlag(s string) (name string, g given, ok bool) {
	if len(s) < 2 || s[0] != '-' {
		return "", given{}, false
	}
	s = strings.TrimPrefix(strings.TrimPrefix(s, "-"), "-")
	if s == "" || s[0] == '=' || s[0] == '-' {
		return "", given{}, false
	}
	name, value, hasValue := strings.Cut(s, "=")
	return name, given{value, !hasValue}, true
}
