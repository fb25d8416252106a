package heap

import (
	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
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
	described := c.asStored()
	s := described.Form()
	s.Field, s.Former, s.Migrations = c.field, c.former, migrationForms(c.migrations, c.codec)
	return s
}

// asStored describes the column as the head of a stream does.
func (c *column) asStored() keyed.State {
	s := keyed.State{Name: c.name, Kind: c.kind, Domain: c.domain, Key: schemaOf(c.user), Elem: schemaOf(c.codec)}
	if c.ttl != nil {
		s.Domain, s.TTL = c.ttl.clock, c.ttl.After
	}
	return s
}

// appendHead appends the head of a stream of the layout's rows, or of an increment.
func (l *Layout) appendHead(dst []byte, increment bool) []byte {
	states := make([]keyed.State, len(l.columns))
	for i, c := range l.columns {
		states[i] = c.asStored()
	}
	return keyed.AppendHead(dst, l.keyCodec.Schema(), states, increment)
}

func schemaOf(c *codec.Compiled) *codec.Schema {
	if c == nil {
		return nil
	}
	return c.Schema()
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
		Name: l.name, Field: l.field, Kind: listKinds[l.mode], Elem: l.codec.Schema(), Former: l.former, Migrations: migrationForms(l.chain(), l.codec),
	}
}
