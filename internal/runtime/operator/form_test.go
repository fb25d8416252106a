package operator

import (
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
)

// The forms of docs/formats/operator.md, byte by byte: what a checkpoint of an earlier version holds must be read for ever.

func TestSplitForm(t *testing.T) {
	id := job.OperatorID{15: 0xee}
	for _, c := range []struct {
		name, want string
		split      source.Split
		seen       map[job.OperatorID]int64
	}{
		{"plain", "0101" + "6101" + "ff00", source.Split{ID: "a", Data: []byte{0xff}}, map[job.OperatorID]int64{}},
		{"with event time", "0101" + "6100" + "01" + "000000000000000000000000000000ee" + "e803000000000000",
			source.Split{ID: "a", Data: []byte{}}, map[job.OperatorID]int64{id: 1000}},
	} {
		if got := hex.EncodeToString(encodeSplit(c.split, c.seen)); got != c.want {
			t.Errorf("%s: encoded as %s, want %s", c.name, got, c.want)
		}
		b, err := hex.DecodeString(c.want)
		if err != nil {
			t.Fatal(err)
		}
		split, seen, err := decodeSplit(b)
		if err != nil || !reflect.DeepEqual(split, c.split) || !reflect.DeepEqual(seen, c.seen) {
			t.Errorf("%s: decoded as %v %v, %v", c.name, split, seen, err)
		}
	}
}

// Commits come back in ascending order of checkpoints, whichever subtask kept them.
func TestPendingForm(t *testing.T) {
	pending := []sink.Pending{{Checkpoint: 7, Items: [][]byte{[]byte("x"), []byte("y")}}, {Checkpoint: 300, Items: [][]byte{{}}}}
	elements := EncodePending(pending).Elements
	want := []string{"0700000000000000" + "78", "0700000000000000" + "79", "2c01000000000000"}
	for i, e := range elements {
		if got := hex.EncodeToString(e); got != want[i] {
			t.Errorf("element %d is %s, want %s", i, got, want[i])
		}
	}
	elements[0], elements[2] = elements[2], elements[0]
	pending[0].Items[0], pending[0].Items[1] = pending[0].Items[1], pending[0].Items[0]
	if got, err := DecodePending(elements); err != nil || !reflect.DeepEqual(got, pending) {
		t.Errorf("decoded as %v, %v, want %v", got, err, pending)
	}
}

// FuzzDecodeSplit shows that no bytes make the decoder panic, and that what it accepts says the same when it is written again.
func FuzzDecodeSplit(f *testing.F) {
	f.Add(encodeSplit(source.Split{ID: "a", Data: []byte{1}}, map[job.OperatorID]int64{{1}: 5, {2}: -5}))
	f.Add([]byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		split, seen, err := decodeSplit(b)
		if err != nil {
			return
		}
		again, seenAgain, err := decodeSplit(encodeSplit(split, seen))
		if err != nil || !reflect.DeepEqual(again, split) || !reflect.DeepEqual(seenAgain, seen) {
			t.Errorf("%x: %v %v came back as %v %v, %v", b, split, seen, again, seenAgain, err)
		}
	})
}

// FuzzDecodePending does the same for pending commits.
func FuzzDecodePending(f *testing.F) {
	f.Add([]byte("\x07\x00\x00\x00\x00\x00\x00\x00x"), []byte{1})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		pending, err := DecodePending([][]byte{a, b})
		if err != nil {
			return
		}
		again, err := DecodePending(EncodePending(pending).Elements)
		if err != nil || !reflect.DeepEqual(again, pending) {
			t.Errorf("%x %x: %v came back as %v, %v", a, b, pending, again, err)
		}
	})
}
