package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

// Every sample, and what text and JSON have words of their own for, is written from schema and bytes alone as the file says.
func TestRender(t *testing.T) {
	all := append(samples(),
		sampleOf("not a number", []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1)}),
		sampleOf("control characters", "\"\\\n\x00\x7f\xff\u2028"),
		sampleOf("numbers as keys", map[int16]string{-1: "a", 1: "b"}),
		sampleOf("pairs as keys", map[[2]bool]time.Duration{{true, false}: time.Minute}),
		sampleOf("many of nothing", make([]struct{}, 1<<40)),
		sampleOf("nil bytes", []byte(nil)),
	)
	var b strings.Builder
	for _, s := range all {
		src := append(s.encode(s.value), "rest"...)
		text, rest, err := s.schema.AppendText(nil, src)
		inJSON, restJSON, errJSON := s.schema.AppendJSON(nil, src)
		skipped, errSkip := s.schema.Skip(src)
		if err := errors.Join(err, errJSON, errSkip); err != nil || string(rest)+string(restJSON)+string(skipped) != "restrestrest" {
			t.Errorf("%s: %q, %q and %q are left, %v", s.name, rest, restJSON, skipped, err)
		}
		if !json.Valid(inJSON) {
			t.Errorf("%s: no JSON: %s", s.name, inJSON)
		}
		fmt.Fprintf(&b, "%s: %s\n%s: %s\n", s.name, text, s.name, inJSON)
	}
	const file = "testdata/rendered.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != b.String() {
		t.Errorf("got\n%swant what %s has, %v", b.String(), file, err)
	}
}

// FuzzRender compares with Decode: what one of them accepts the other does, and both leave the same.
func FuzzRender(f *testing.F) {
	all := samples()
	for i, s := range all {
		f.Add(uint8(i), s.encode(s.value))
	}
	f.Add(uint8(len(all)-1), bytes.Repeat([]byte{1}, MaxDepth+1))
	f.Fuzz(func(t *testing.T, which uint8, src []byte) {
		s := all[int(which)%len(all)]
		rest, err := s.decode(src, s.fresh())
		_, skipped, errSkip := s.schema.AppendText(nil, src)
		if errSkip != nil && !errors.Is(errSkip, ErrCorrupt) {
			t.Fatalf("%s: the error %v is not ErrCorrupt", s.name, errSkip)
		}
		if strings.Contains(s.schema.String(), "opaque") && err != nil {
			return // what an opaque codec refuses is not known
		}
		if (err == nil) != (errSkip == nil) || !bytes.Equal(rest, skipped) {
			t.Fatalf("%s: Decode leaves %x, %v; AppendText %x, %v", s.name, rest, err, skipped, errSkip)
		}
	})
}

// FuzzRenderAny feeds bytes to any schema that parses: no panic, JSON that is valid, and no more of it than the schema accounts for.
func FuzzRenderAny(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.schema.AppendTo(nil), s.encode(s.value))
	}
	f.Fuzz(func(t *testing.T, form, src []byte) {
		s, err := ParseSchema(form)
		if err != nil {
			return
		}
		out, _, err := s.AppendJSON(nil, src)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("the error %v is not ErrCorrupt", err)
			}
			return
		}
		if !json.Valid(out) && len(src) < 5000 { // encoding/json has a limit of depth
			t.Fatalf("%v: no JSON: %s", s, out)
		}
		if most := (len(src) + 1) * (100*len(form) + 100); len(out) > most {
			t.Fatalf("%v: %d bytes become %d", s, len(src), len(out))
		}
	})
}
