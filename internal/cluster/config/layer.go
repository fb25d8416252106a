package config

import (
	"fmt"
	"strings"
)

// rank orders the parties: what a higher one says wins.
type rank int

const (
	rankSite rank = iota
	rankCode
	rankEnvironment
	rankOperator
)

// Layer is what one party has set. Make it with [File], [ParseFile], [Code], [Environment] or [Operator]; what is wrong with
// it comes out of [Load].
type Layer struct {
	rank     rank
	settings []setting
	strays   []setting // environment variables with our prefix that are no options
	errs     []error
}

// setting is one key and value as somebody wrote them.
type setting struct {
	key    string
	value  string
	origin string // where it was written, for messages: "config.yaml line 3", "-D"
	list   bool   // written as a sequence; value holds the elements joined with ','
}

// Code returns an empty layer for what the job's program sets.
func Code() *Layer { return &Layer{rank: rankCode} }

// Operator returns an empty layer for what the command line sets.
func Operator() *Layer { return &Layer{rank: rankOperator} }

// Set adds a value in text form. Of two values for one key the later wins. The origin is for messages: "code (checkpoint.Set)".
func (l *Layer) Set(key, value, origin string) {
	l.settings = append(l.settings, setting{key: strings.TrimSpace(key), value: value, origin: origin})
}

// Put adds a typed value; otherwise it is like [Layer.Set].
func Put[T any](l *Layer, o *Option[T], v T, origin string) {
	l.Set(o.key, o.format(v), origin)
}

// Define adds the argument of one -D flag, "key=value".
func (l *Layer) Define(arg string) {
	key, value, ok := strings.Cut(arg, "=")
	if !ok || strings.TrimSpace(key) == "" {
		l.errs = append(l.errs, fmt.Errorf("-D %s: not of the form key=value; write -D %s=10s, for example", arg, CheckpointInterval.key))
		return
	}
	l.Set(key, value, "-D")
}

const environmentPrefix = "WEIR_"

// Environment returns the layer of the variables, each "NAME=value" as os.Environ gives them, whose name begins with WEIR_.
func Environment(environ []string) *Layer {
	l := &Layer{rank: rankEnvironment}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, environmentPrefix) || value == "" {
			continue
		}
		l.addVariable(name, value)
	}
	return l
}

func (l *Layer) addVariable(name, value string) {
	origin := "environment variable " + name
	if key, ok := names().keyOfVariable[name]; ok {
		l.Set(key, value, origin)
		return
	}
	near := nearestOf(name, names().variables)
	switch {
	case near != "":
		l.errs = append(l.errs, fmt.Errorf("%s: no option has this name; did you mean %s?", origin, near))
	case names().inSection(name):
		l.errs = append(l.errs, fmt.Errorf("%s: no option has this name; %s", origin, seeReference))
	default:
		l.strays = append(l.strays, setting{key: name, value: value, origin: origin})
	}
}

// variableOf returns the environment variable of a key.
func variableOf(key string) string {
	return environmentPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}
