package file

import (
	"encoding/binary"
	"fmt"
)

// pendingVersion is the first byte of what Prepare returns and of a writer's state. docs/formats/file-sink.md describes both.
const pendingVersion = 1

// part is an output file of some length. With a checkpoint in its name it is pending, and otherwise in progress.
type part struct {
	name partName
	size int64
}

func (p part) encode() []byte {
	name := p.name.hidden()
	if p.name.checkpoint != 0 {
		name = p.name.committed()
	}
	b := binary.AppendUvarint([]byte{pendingVersion}, uint64(len(name)))
	b = append(b, name...)
	return binary.AppendUvarint(b, uint64(p.size))
}

// decodePart reads what encode has written, of a file that is pending or not.
func decodePart(data []byte, pending bool) (part, error) {
	d := stateDecoder{rest: data}
	d.version("output file", pendingVersion)
	name, ok := parsePart(string(d.bytes()))
	p := part{name, d.int()}
	if d.err == nil && (!ok || (name.checkpoint != 0) != pending) {
		d.fail()
	}
	if err := d.end("file sink"); err != nil {
		return part{}, fmt.Errorf("%w (%q)", err, data)
	}
	return p, nil
}
