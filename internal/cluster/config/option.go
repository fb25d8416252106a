package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Option is the declaration of one option. All options are package variables.
type Option[T any] struct {
	*declaration
	spec   spec[T]
	format func(T) string
}

// spec is what an option's author writes down.
type spec[T any] struct {
	Key     string
	Doc     string   // Markdown, what the value means and its hazards
	Aliases []string // old names, the preferred one first

	Default *T // nil: unset unless somebody sets it

	// Built says that every value has its effect. Otherwise Only lists those that have one, besides the default; any
	// other is refused as not available yet. The zero value refuses everything, so that a new option cannot be ignored.
	Built bool
	Only  []T

	Check func(T) error // refuses a value that cannot be right whatever is built; says why and what to do

	Deprecated string // why setting it does nothing; becomes a note
}

// declaration is the part of an option that does not depend on its type: what loading and the reference page need.
type declaration struct {
	key        string
	aliases    []string
	doc        string
	typ        string // as the reference page shows it
	def        string // as the reference page shows it
	available  string // as the reference page shows it
	deprecated string
	many       bool // the value is a list
	defValue   any  // nil: none

	parse func(raw string) (any, error)     // also runs Check
	built func(v any) (problem, fix string) // problem is "" when the value has its effect
	text  func(v any) string                // what parse reads as v
}

// registry collects the options while the package's variables are made. Their order is not that of the source.
var registry []*declaration

// options returns every option, sorted by key.
var options = sync.OnceValue(func() []*declaration {
	slices.SortFunc(registry, func(a, b *declaration) int { return strings.Compare(a.key, b.key) })
	return registry
})

// Key returns the option's name.
func (o *Option[T]) Key() string { return o.key }

func declare[T any](typ string, parse func(string) (T, error), format func(T) string, s spec[T]) *Option[T] {
	o := &Option[T]{spec: s, format: format}
	o.declaration = &declaration{
		key: s.Key, aliases: s.Aliases, doc: s.Doc, typ: typ, deprecated: s.Deprecated,
		def:       "none",
		available: o.availability(),
		parse: func(raw string) (any, error) {
			v, err := parse(raw)
			if err == nil && s.Check != nil {
				err = s.Check(v)
			}
			return v, err
		},
		built: func(v any) (string, string) { return o.refusal(v.(T)) },
		text:  func(v any) string { return format(v.(T)) },
	}
	if s.Default != nil {
		o.def, o.defValue = format(*s.Default), *s.Default
	}
	registry = append(registry, o.declaration)
	return o
}

func (o *Option[T]) availability() string {
	switch {
	case o.spec.Deprecated != "":
		return "no effect"
	case o.spec.Built:
		return "yes"
	case len(o.spec.Only) > 0:
		return "only " + codeList(o.effective())
	default:
		return "not yet"
	}
}

// effective returns the values that are built of an option that is built in part.
func (o *Option[T]) effective() []string {
	var out []string
	if o.spec.Default != nil {
		out = append(out, o.format(*o.spec.Default))
	}
	for _, v := range o.spec.Only {
		if s := o.format(v); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func (o *Option[T]) refusal(v T) (problem, fix string) {
	if o.spec.Built || slices.Contains(o.effective(), o.format(v)) {
		return "", ""
	}
	switch values := o.effective(); len(values) {
	case 0:
		return "not available yet", "remove it"
	case 1:
		return "not available yet", "remove it or set it to " + values[0]
	default:
		return "not available yet", "set it to one of " + strings.Join(values, ", ")
	}
}

func durationOption(s spec[time.Duration]) *Option[time.Duration] {
	return declare("duration", ParseDuration, FormatDuration, s)
}

func sizeOption(s spec[int64]) *Option[int64] {
	return declare("size", ParseSize, FormatSize, s)
}

func intOption(s spec[int]) *Option[int] {
	return declare("int", parseInt, strconv.Itoa, s)
}

func longOption(s spec[int64]) *Option[int64] {
	return declare("long", parseLong, func(v int64) string { return strconv.FormatInt(v, 10) }, s)
}

func floatOption(s spec[float64]) *Option[float64] {
	return declare("float", parseFloat, func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }, s)
}

func boolOption(s spec[bool]) *Option[bool] {
	return declare("bool", parseBool, strconv.FormatBool, s)
}

func stringOption(s spec[string]) *Option[string] {
	return declare("string", parseString, func(v string) string { return v }, s)
}

// pathsOption declares a list of directories.
func pathsOption(s spec[[]string]) *Option[[]string] {
	o := declare("list of directories", parsePaths, func(v []string) string { return strings.Join(v, ",") }, s)
	o.many = true
	return o
}

// enumOption declares an option that takes one of a few names.
func enumOption[T ~uint8](names *enum[T], s spec[T]) *Option[T] {
	return declare("one of "+codeList(names.all()), names.parse, names.name, s)
}

// atLeast and its like make the Check of an option. They name the bound in the syntax of the option's values.

func atLeastDuration(min time.Duration) func(time.Duration) error {
	return func(v time.Duration) error {
		if v < min {
			return fmt.Errorf("too short; the least is %s", FormatDuration(min))
		}
		return nil
	}
}

func atLeastSize(min int64) func(int64) error {
	return func(v int64) error {
		if v < min {
			return fmt.Errorf("too small; the least is %s", FormatSize(min))
		}
		return nil
	}
}

func atLeast(min int) func(int) error { return between(min, math.MaxInt32) }

func between(min, max int) func(int) error {
	return func(v int) error {
		if v < min {
			return fmt.Errorf("too small; the least is %d", min)
		}
		if v > max {
			return fmt.Errorf("too large; the most is %d", max)
		}
		return nil
	}
}

func codeList(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = "`" + v + "`"
	}
	return strings.Join(quoted, ", ")
}
