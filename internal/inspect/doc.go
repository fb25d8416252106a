// Package inspect answers one question: what is in a snapshot on disk, told without the program that has taken it?
//
// What can be told comes from `_metadata` and from the schemas that state carries. What a connector keeps in its own form, a source's
// position or what a sink has prepared, is counted and measured, not understood.
//
//   - Nothing is changed, created or locked. A snapshot may be deleted by its job in the meantime; Verify knows the difference.
//   - Memory is bounded by the largest key group and the largest list of one subtask, not by the snapshot.
//   - Bytes are not trusted, not even those whose checksum is right.
package inspect
