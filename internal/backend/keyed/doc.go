// Package keyed answers one question: what does a stream of keyed state in a checkpoint say, and what is in it, for those who do not have the
// program's types?
//
// It knows the form, that of docs/formats/keyed.md: the head, the blocks of compressed groups, where one thing ends in a row and the next
// begins. A [Scan] reads whole streams by the schemas in their heads. Package heap writes and reads rows as values of the program, which is
// faster, and uses this package for all that needs no types.
//
//   - What was read is never trusted: lengths and numbers are compared with the bytes that are there before memory is taken for them, and
//     damage is an error that wraps [ErrCorrupt] or codec.ErrCorrupt, not a panic.
//   - What may be unpacked is bounded by what is stored: see docs/formats/keyed.md on compressed streams.
//   - Nothing here remembers anything between two calls but [Scan] and [Packer], each of which is used by one goroutine.
package keyed
