// Package job holds the names of things: jobs, operators, vertices, subtasks and their attempts.
//
// Names are values with types of their own, so that the compiler keeps an operator id out of the place of a job id. Nothing here
// does I/O or knows what a name stands for.
package job

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// ID names one job. It is 128 random bits, written as 32 lower-case hexadecimal digits.
type ID [16]byte

// NewID returns a random job id.
func NewID() ID {
	var id ID
	if _, err := rand.Read(id[:]); err != nil {
		panic(fmt.Sprintf("job: read random bits: %v", err)) // crypto/rand never fails on a supported system
	}
	return id
}

// ParseID reads the 32 hexadecimal digits that String writes.
func ParseID(s string) (ID, error) {
	var id ID
	return id, parseHex("job id", s, id[:])
}

// IsZero reports whether the id names no job.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the id as 32 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText writes the form of String, so that ids read well in JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the form of String.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// OperatorID names one operator of a job over all its runs: state is found by it on restore.
type OperatorID [16]byte

// OperatorIDOf returns the id that belongs to a user's name for a step: the 128-bit murmur3 hash (x64 variant, seed 0) of its UTF-8 bytes.
func OperatorIDOf(uid string) OperatorID { return murmur3(uid) }

// ParseOperatorID reads the 32 hexadecimal digits that String writes.
func ParseOperatorID(s string) (OperatorID, error) {
	var id OperatorID
	return id, parseHex("operator id", s, id[:])
}

// IsZero reports whether the id names no operator.
func (id OperatorID) IsZero() bool { return id == OperatorID{} }

// String returns the id as 32 lower-case hexadecimal digits.
func (id OperatorID) String() string { return hex.EncodeToString(id[:]) }

// VertexID names one task of the job graph, a chain of operators. It is the id of the chain's head.
type VertexID OperatorID

// String returns the id as 32 lower-case hexadecimal digits.
func (id VertexID) String() string { return OperatorID(id).String() }

// Subtask names one parallel instance of a task.
type Subtask struct {
	Vertex VertexID
	Index  int // 0 .. parallelism-1
}

// String returns the vertex and the index, as in 0a1b…/3.
func (s Subtask) String() string { return fmt.Sprintf("%s/%d", s.Vertex, s.Index) }

// Attempt names one execution of a subtask. Messages of an earlier attempt change nothing.
type Attempt struct {
	Subtask Subtask
	Number  int // 1 for the first execution, one more after each restart
}

// String returns the subtask and the number of the attempt, as in 0a1b…/3#2.
func (a Attempt) String() string { return fmt.Sprintf("%s#%d", a.Subtask, a.Number) }

// CheckpointID numbers the checkpoints and savepoints of one job. The first is 1; 0 means none.
type CheckpointID int64

func parseHex(what, s string, into []byte) error {
	if len(s) != hex.EncodedLen(len(into)) {
		return fmt.Errorf("%s %q: want %d hexadecimal digits, got %d characters", what, s, hex.EncodedLen(len(into)), len(s))
	}
	if _, err := hex.Decode(into, []byte(s)); err != nil {
		return fmt.Errorf("%s %q: %w", what, s, err)
	}
	return nil
}
