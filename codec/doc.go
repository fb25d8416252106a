// Package codec answers one question: which bytes stand for a Go value, in a snapshot and between processes?
//
// A codec is compiled once per type by reflection into a short plan of copies, then used without reflection wherever the type allows.
// With the values travels a [Schema], the full description of their form; values carry no description of themselves.
//
// Invariants:
//
//   - What Append writes, Decode of the same type reads back as an equal value; nil and empty slices and maps stay apart.
//   - Equal values give equal bytes, whatever the order in which a map was filled. Decode accepts no second spelling of a value.
//   - Decode of arbitrary bytes returns an error; it does not panic, and allocates at most a factor, fixed by the type, of the input.
//   - A decoded value shares no memory with the bytes it came from.
//   - Type and package names are no part of a schema; field names, order, kinds and nesting are.
//   - The encoding of a [Kind] never changes. A better encoding is another kind.
//
// Struct fields are encoded in order under their Go names. The tag `codec:"name"` gives a field another name, `codec:"-"` leaves it
// out of the encoding (Decode does not touch it). Unexported fields are refused unless left out, so that nothing is lost by oversight;
// blank fields (_) are ignored. The fields of an embedded struct count as fields of the outer one, unless a tag names it.
//
// Values that were written under another schema are read by [From], straight into the present type, if [Compare] finds that they fit:
// docs/evolution.md has the rules. For that a tag may go on: `codec:"name,formerly=old,default=5"`.
//
// A time.Time is stored as an instant: its zone and monotonic reading are dropped, and it is decoded as UTC. A type with a binary form
// of its own is encoded with it if it implements [Binary]; a foreign type may be given one with [Register].
//
// The forms are specified in docs/formats/values.md and docs/formats/schema.md.
package codec
