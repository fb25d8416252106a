package heap

import (
	"io"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/stateform"
)

// Form returns what the layout's keyed state looks like.
func (l *Layout) Form() stateform.Form {
	f := stateform.Form{Key: l.keyCodec.Schema()}
	for _, c := range l.columns {
		f.Keyed = append(f.Keyed, c.state())
	}
	return f
}

func (c *column) state() stateform.State {
	s := stateOf(c.name, c.kind, c.domain, schemaOf(c.user), schemaOf(c.codec))
	s.Field, s.Former, s.Migrations = c.field, c.former, migrationForms(c.migrations, c.codec)
	return s
}

func schemaOf(c *codec.Compiled) *codec.Schema {
	if c == nil {
		return nil
	}
	return c.Schema()
}

// ReadForm reads the head of a keyed stream, and returns what the state in it looks like.
func ReadForm(k snapshot.Keyed, r io.ReaderAt) (stateform.Form, error) {
	if err := checkHandle(&k); err != nil {
		return stateform.Form{}, err
	}
	src, err := readAll(r, 0, k.Header)
	if err != nil {
		return stateform.Form{}, err
	}
	h, err := parseHead(src)
	if err != nil {
		return stateform.Form{}, err
	}
	return h.form(), nil
}

func (h *head) form() stateform.Form {
	f := stateform.Form{Key: h.key}
	for _, c := range h.columns {
		f.Keyed = append(f.Keyed, stateOf(c.name, c.kind, c.domain, c.user, c.elem))
	}
	return f
}

func stateOf(name string, k Kind, d Domain, key, elem *codec.Schema) stateform.State {
	s := stateform.State{Name: name, Kind: stateform.Kind(k.String()), Key: key, Elem: elem}
	if k == KindTimer || k == KindTimers {
		s.Clock = d.String()
	}
	return s
}

var listKinds = map[snapshot.Mode]stateform.Kind{
	snapshot.Split: stateform.Split, snapshot.Union: stateform.Union, snapshot.Broadcast: stateform.Broadcast,
}

// Form returns what the lists look like.
func (o *OperatorLists) Form() stateform.Form {
	var f stateform.Form
	for i := range o.lists {
		f.Lists = append(f.Lists, o.lists[i].state())
	}
	return f
}

func (l *operatorList) state() stateform.State {
	return stateform.State{
		Name: l.name, Field: l.field, Kind: listKinds[l.mode], Elem: l.codec.Schema(), Former: l.former, Migrations: migrationForms(l.migrations, l.codec),
	}
}
