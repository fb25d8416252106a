package file

import (
	"encoding/binary"
	"fmt"
)

// sinkVersion is the first byte of what Prepare returns and of a writer's state. docs/formats/file-sink.md describes both.
const sinkVersion = 1

// part is an output file of some length. With a checkpoint in its name it is pending, and otherwise in progress.
type part struct {
	name partName
	size int64
}

// encode returns the form of a pending file.
func (p part) encode() []byte {
	b := appendBytes([]byte{sinkVersion}, p.name.committed())
	return binary.AppendUvarint(b, uint64(p.size))
}

// decodePart reads what encode has written.
func decodePart(data []byte) (part, error) {
	d := stateDecoder{rest: data}
	d.version("pending output file", sinkVersion)
	name, ok := parsePart(string(d.bytes()))
	p := part{name, d.int()}
	if d.err == nil && (!ok || name.checkpoint == 0) {
		d.fail()
	}
	if err := d.end("pending output file"); err != nil {
		return part{}, fmt.Errorf("%w (%q)", err, data)
	}
	return p, nil
}

// writerState is what a writer is restored with: whose it is, and the file in progress if there is one.
type writerState struct {
	line  string // lineTag
	epoch int64  // of the run that took the checkpoint
	open  bool
	part  part // if open
}

func (s writerState) encode() []byte {
	b := appendBytes([]byte{sinkVersion}, s.line)
	b = binary.AppendUvarint(b, uint64(s.epoch))
	if !s.open {
		return append(b, 0)
	}
	b = appendBytes(b, s.part.name.hidden())
	return binary.AppendUvarint(b, uint64(s.part.size))
}

// decodeState reads what encode has written.
func decodeState(data []byte) (writerState, error) {
	d := stateDecoder{rest: data}
	d.version("state of an output file", sinkVersion)
	s := writerState{line: string(d.bytes()), epoch: d.int()}
	if name := d.bytes(); len(name) > 0 {
		var ok bool
		s.open = true
		s.part.name, ok = parsePart(string(name))
		s.part.size = d.int()
		if !ok || s.part.name.checkpoint != 0 {
			d.fail()
		}
	}
	if err := d.end("output file"); err != nil {
		return writerState{}, fmt.Errorf("%w (%q)", err, data)
	}
	return s, nil
}

func appendBytes(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}
