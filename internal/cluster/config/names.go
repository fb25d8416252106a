package config

import (
	"strings"
	"sync"

	"github.com/weirstream/weir/internal/nearest"
)

// index finds options by the names they may be called by.
type index struct {
	byName        map[string][]reference // key or old name; one old name may stand for two options
	all           []string               // keys, then old names
	keyOfVariable map[string]string      // environment variable -> key or old name
	variables     []string
	sections      map[string]bool // WEIR_ and the first two parts of each key
}

// reference says that a name means an option.
type reference struct {
	option *declaration
	alias  int // 0: the option's own key; n: its n-th old name
}

// names is the index of all options.
var names = sync.OnceValue(func() *index {
	x := &index{byName: map[string][]reference{}, keyOfVariable: map[string]string{}, sections: map[string]bool{}}
	for _, d := range options() {
		if isCodeOnly(d.key) {
			x.byName[d.key] = []reference{{d, 0}}
			continue
		}
		x.add(d.key, reference{d, 0})
		x.sections[variableOf(section(d.key))+"_"] = true
	}
	for _, d := range options() {
		for i, alias := range d.aliases {
			x.add(alias, reference{d, i + 1})
		}
	}
	return x
})

func (x *index) add(name string, r reference) {
	if x.byName[name] == nil {
		x.all = append(x.all, name)
		x.variables = append(x.variables, variableOf(name))
		x.keyOfVariable[variableOf(name)] = name
	}
	x.byName[name] = append(x.byName[name], r)
}

// section returns the first two parts of a key.
func section(key string) string {
	parts := strings.SplitN(key, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// inSection reports whether an environment variable begins as some option's does.
func (x *index) inSection(variable string) bool {
	for s := range x.sections {
		if strings.HasPrefix(variable, s) {
			return true
		}
	}
	return false
}

const seeReference = "docs/reference/config.md lists the options"

// nearestOf returns the candidate that name was probably meant to be, or "" if none is near: one that ends in it after a dot
// ("checkpointing.interval"), or the one at the smallest distance of at most a sixth of the name, since keys are long and alike.
func nearestOf(name string, candidates []string) string {
	for _, c := range candidates {
		if strings.HasSuffix(c, "."+name) {
			return c
		}
	}
	found, _ := nearest.Name(name, candidates, max(2, len(name)/6))
	return found
}
