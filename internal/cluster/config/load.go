package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Config is a value, or the absence of one, for every option. It has passed all checks.
type Config struct {
	values map[*declaration]value
	own    map[string]setting // keys of a state backend that the program registers
	open   map[string]setting // keys that are not declared one by one: see isOpen
}

// value is the setting that won.
type value struct {
	setting
	alias  int // as in reference
	order  int // among all settings, from the lowest layer's first
	note   Note
	parsed any
}

// Note is a sentence for the operator about something that is not wrong.
type Note string

// Get returns an option's value: what was set, else its default, else T's zero value.
func Get[T any](c *Config, o *Option[T]) T {
	if v, ok := c.values[o.declaration]; ok {
		return v.parsed.(T)
	}
	if o.spec.Default != nil {
		return *o.spec.Default
	}
	var zero T
	return zero
}

// IsSet reports whether somebody has set the option, be it to its default.
func IsSet[T any](c *Config, o *Option[T]) bool {
	_, ok := c.values[o.declaration]
	return ok
}

// Origin says where the option's value comes from, for messages: "config.yaml line 3", or "default".
func Origin[T any](c *Config, o *Option[T]) string {
	if v, ok := c.values[o.declaration]; ok {
		return v.origin
	}
	return "default"
}

// SettingError says what is wrong with one setting. Load joins one for each mistake.
type SettingError struct {
	Key     string // as it was written, which may be an old name
	Value   string // as it was written; "***" if the key looks like that of a secret
	Origin  string
	Problem string // what is wrong and what to do
}

// Error names the option, its value and where that came from.
func (e *SettingError) Error() string {
	return fmt.Sprintf("%s = %q, from %s: %s", e.Key, e.Value, e.Origin, e.Problem)
}

func (s setting) wrong(format string, args ...any) error {
	return &SettingError{Key: s.key, Value: redact(s.key, s.value), Origin: s.origin, Problem: fmt.Sprintf(format, args...)}
}

// redact hides the value of a key that looks like that of a secret: such keys end up here by a typing error, and the message
// in a log. Of a store nothing is shown that is no option: it may be a key for secrets that was misspelt.
func redact(key, value string) string {
	if hasAnyPrefix(key, storePrefixes) && names().byName[key] == nil {
		return "***"
	}
	for _, word := range []string{"password", "secret", "token", "credential", "access-key", "access.key", "api-key", "account.key", ".sas."} {
		if strings.Contains(strings.ToLower(key), word) {
			return "***"
		}
	}
	return value
}

// Load puts layers together and checks the outcome. The order of the arguments matters only between layers of one rank: the
// later wins. The error joins all mistakes, and then there is no Config; the notes are there in any case.
func Load(layers ...*Layer) (*Config, []Note, error) {
	layers = slices.Clone(layers)
	slices.SortStableFunc(layers, func(a, b *Layer) int { return cmp.Compare(a.rank, b.rank) })
	l := loader{cfg: &Config{values: map[*declaration]value{}, own: map[string]setting{}, open: map[string]setting{}}, unread: map[*declaration]bool{}}
	for _, layer := range layers {
		l.errs = append(l.errs, layer.errs...)
		l.strays = append(l.strays, layer.strays...)
		l.merge(layer)
	}
	l.parse()
	l.settleOwn()
	l.errs = append(l.errs, l.cfg.contradictions(l.unread)...)
	l.note()
	if len(l.errs) > 0 {
		return nil, l.notes, errors.Join(l.errs...)
	}
	return l.cfg, l.notes, nil
}

type loader struct {
	cfg     *Config
	order   int // of the last claim
	notes   []Note
	errs    []error
	unread  map[*declaration]bool // options whose value is no value
	foreign []setting             // keys that mean something elsewhere
	strays  []setting
}

// merge lets a layer's settings win over those of the layers before it.
func (l *loader) merge(layer *Layer) {
	won := map[*declaration]value{}
	for _, s := range layer.settings {
		for _, c := range l.claims(s, layer.rank) {
			l.order++
			c.value.order = l.order
			if old, ok := won[c.option]; ok {
				c.value = l.prefer(c.option, old, c.value)
			}
			won[c.option] = c.value
		}
	}
	for _, d := range inOrder(won) {
		if won[d].note != "" {
			l.notes = append(l.notes, won[d].note)
		}
	}
	maps.Copy(l.cfg.values, won)
}

// claim is a setting that wants to be the value of an option.
type claim struct {
	option *declaration
	value  value
}

// claims finds the options that a setting is for. None is a mistake, or a key of another system.
func (l *loader) claims(s setting, by rank) []claim {
	if isOpen(s.key) {
		l.cfg.open[s.key] = s
		return nil
	}
	found := names().byName[s.key]
	if found == nil && maybeOwn(s.key) {
		l.cfg.own[s.key] = s
		return nil
	}
	if found == nil {
		l.unknown(s)
		return nil
	}
	if isCodeOnly(s.key) && by != rankCode {
		l.fail(s.wrong("only the job's program can set this, with %s", s.key))
		return nil
	}
	if pair := oldBackendPair(s); pair != nil {
		return pair
	}
	var out []claim
	for _, r := range found {
		v := value{setting: s, alias: r.alias}
		if r.alias > 0 {
			v.note = notef("%s (%s) is an old name; write %s", s.key, s.origin, r.option.key)
		}
		out = append(out, claim{r.option, v})
	}
	return out
}

func (l *loader) unknown(s setting) {
	switch near := nearestOf(s.key, names().all); {
	case near != "":
		l.fail(s.wrong("no option has this key; did you mean %s?", near))
	case isForeign(s.key):
		l.foreign = append(l.foreign, s)
	case isLater(s.key):
		l.fail(s.wrong("an option of Flink that Weir does not have; remove it"))
	default:
		l.fail(s.wrong("no option has this key; %s", seeReference))
	}
}

// prefer chooses between two settings of one option in one layer: the name that is not old, or less so; then the later one.
func (l *loader) prefer(d *declaration, first, second value) value {
	winner, loser := second, first
	if first.alias < second.alias {
		winner, loser = first, second
	}
	if loser.key != winner.key {
		l.notef("%s (%s) does not decide %s: %s (%s) does; remove the one that is not meant",
			loser.key, loser.origin, d.key, winner.key, winner.origin)
	}
	return winner
}

// parse reads the values that won and takes out those that are wrong, so that later checks see only sound ones.
func (l *loader) parse() {
	for _, d := range inOrder(l.cfg.values) {
		v := l.cfg.values[d]
		if err := v.read(d); err != nil {
			l.fail(err)
			l.unread[d] = true
			delete(l.cfg.values, d)
			continue
		}
		l.cfg.values[d] = v
		if problem, fix := d.built(v.parsed); problem != "" {
			l.fail(v.wrong("%s; %s", problem, fix))
		} else if d.deprecated != "" {
			l.notef("%s (%s) has no effect: %s", v.key, v.origin, d.deprecated)
		}
	}
}

// inOrder returns the options that are set, as they were written.
func inOrder(values map[*declaration]value) []*declaration {
	byOrder := func(a, b *declaration) int { return cmp.Compare(values[a].order, values[b].order) }
	return slices.SortedFunc(maps.Keys(values), byOrder)
}

func (v *value) read(d *declaration) (err error) {
	if v.list && !d.many {
		return v.wrong("a list, but the option takes one value")
	}
	if v.parsed, err = d.parse(v.value); err != nil {
		return v.wrong("%v", err)
	}
	return nil
}

func (l *loader) fail(err error) { l.errs = append(l.errs, err) }

func (l *loader) notef(format string, args ...any) {
	l.notes = append(l.notes, notef(format, args...))
}

func notef(format string, args ...any) Note { return Note(fmt.Sprintf(format, args...)) }

// note adds the notes about the whole.
func (l *loader) note() {
	if len(l.foreign) > 0 {
		l.notef("these keys have no meaning in Weir and no effect: %s", listSettings(l.foreign))
	}
	if len(l.strays) > 0 {
		l.notef("these environment variables are not options and have no effect: %s", listSettings(l.strays))
	}
	if !l.unread[RestartStrategy.declaration] {
		l.notes = append(l.notes, l.cfg.idleRestartSettings()...)
	}
}

func listSettings(settings []setting) string {
	var out []string
	for _, s := range settings {
		if strings.HasSuffix(s.origin, s.key) {
			out = append(out, s.key)
		} else {
			out = append(out, fmt.Sprintf("%s (%s)", s.key, s.origin))
		}
	}
	return strings.Join(out, ", ")
}
