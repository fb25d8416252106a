package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// format tells how records stand in a file.
type format[T any] interface {
	extension() string
	// quoted says that a line break between quotes does not end a record.
	quoted() bool
	decoder() decoder[T]
	encoder() encoder[T]
}

// decoder reads the records of one file. It belongs to one goroutine.
type decoder[T any] interface {
	// header takes the first record. It returns false if that is data already.
	header(record []byte) (bool, error)
	// decode reads a record. It keeps nothing of the slice. A blank line that is no record gives false.
	decode(record []byte, into *T) (bool, error)
}

// encoder writes records, each with its line end. It belongs to one goroutine.
type encoder[T any] interface {
	appendHeader(b []byte) []byte
	append(b []byte, r *T) ([]byte, error)
}

type plainLines struct{}

func (plainLines) extension() string           { return ".txt" }
func (plainLines) quoted() bool                { return false }
func (plainLines) decoder() decoder[string]    { return plainLines{} }
func (plainLines) encoder() encoder[string]    { return plainLines{} }
func (plainLines) header([]byte) (bool, error) { return false, nil }

func (plainLines) decode(record []byte, into *string) (bool, error) {
	*into = string(record)
	return true, nil
}

func (plainLines) appendHeader(b []byte) []byte { return b }

func (plainLines) append(b []byte, r *string) ([]byte, error) {
	if strings.ContainsAny(*r, "\r\n") {
		return b, errors.New("a record of a file of lines has a line break in it: write CSV or JSON")
	}
	return append(append(b, *r...), '\n'), nil
}

type jsonLines[T any] struct{}

func (jsonLines[T]) extension() string           { return ".jsonl" }
func (jsonLines[T]) quoted() bool                { return false }
func (jsonLines[T]) decoder() decoder[T]         { return jsonLines[T]{} }
func (jsonLines[T]) encoder() encoder[T]         { return &jsonEncoder[T]{} }
func (jsonLines[T]) header([]byte) (bool, error) { return false, nil }

func (jsonLines[T]) decode(record []byte, into *T) (bool, error) {
	if len(bytes.TrimSpace(record)) == 0 {
		return false, nil
	}
	return true, json.Unmarshal(record, into)
}

type jsonEncoder[T any] struct {
	buf bytes.Buffer
	enc *json.Encoder
}

func (*jsonEncoder[T]) appendHeader(b []byte) []byte { return b }

func (e *jsonEncoder[T]) append(b []byte, r *T) ([]byte, error) {
	if e.enc == nil {
		e.enc = json.NewEncoder(&e.buf)
		e.enc.SetEscapeHTML(false)
	}
	e.buf.Reset()
	if err := e.enc.Encode(r); err != nil {
		return b, err
	}
	return append(b, e.buf.Bytes()...), nil
}
