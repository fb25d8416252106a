package avro_test

import (
	"encoding/hex"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/codec/avro"
)

type (
	orderV1 struct {
		ID    string   `avro:"id"`
		Count int32    `avro:"count"`
		Tags  []string `avro:"tags"`
	}
	orderV2 struct {
		Key   string  `avro:"key"`
		Count int64   `avro:"count"`
		Price float64 `avro:"price"`
	}
	orderBad struct {
		Count string `avro:"count"`
	}
)

const (
	schemaV1 = `{"type":"record","name":"order","fields":[{"name":"id","type":"string"},{"name":"count","type":"int"},{"name":"tags","type":{"type":"array","items":"string"}}]}`
	schemaV2 = `{"type":"record","name":"order","fields":[{"name":"key","aliases":["id"],"type":"string"},{"name":"count","type":"long"},{"name":"price","type":"double","default":1.5}]}`
)

func init() {
	avro.Register[orderV1](schemaV1)
	avro.Register[orderV2](schemaV2)
	avro.Register[orderBad](`{"type":"record","name":"order","fields":[{"name":"count","type":"string"}]}`)
}

func codecOf[T any](t *testing.T) codec.Codec[T] {
	t.Helper()
	c, err := codec.For[T]()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A value is there and back in Avro's form, and these bytes, and this schema, are read forever.
func TestGolden(t *testing.T) {
	c := codecOf[orderV1](t)
	in := orderV1{"a", -3, []string{"x", "yz"}}
	const golden = "0b026105030a027804797a00"
	if got := hex.EncodeToString(c.Append(nil, &in)); got != golden {
		t.Errorf("encoded as %s", got)
	}
	const schema = `{"name":"order","type":"record","fields":[{"name":"id","type":"string"},{"name":"count","type":"int"},{"name":"tags","type":{"type":"array","items":"string"}}]}`
	if got := string(c.Schema().Description); got != schema {
		t.Errorf("the schema is kept as %s", got)
	}
	b, _ := hex.DecodeString(golden)
	var out orderV1
	if rest, err := c.Decode(b, &out); err != nil || len(rest) > 0 || !reflect.DeepEqual(out, in) {
		t.Errorf("%v, %v", out, err)
	}
}

// A later version of the type reads the older one's values by Avro's rules, and what these refuse is refused by Compare.
func TestEvolution(t *testing.T) {
	old := codecOf[orderV1](t)
	stored, err := codec.ParseSchema(old.Schema().AppendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	if v := codec.Compare(stored, codecOf[orderV2](t).Schema()); v.Err() != nil || v.Same() {
		t.Errorf("%v %v", v.Changes, v.Err())
	}
	r, err := codec.From[orderV2](stored)
	if err != nil {
		t.Fatal(err)
	}
	var v orderV2
	if _, err := r.Decode(old.Append(nil, &orderV1{"a", 7, []string{"dropped"}}), &v); err != nil || v != (orderV2{"a", 7, 1.5}) {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := codec.From[orderBad](stored); err == nil || !strings.Contains(err.Error(), "by Avro's rules: ") {
		t.Errorf("a string out of an int: %v", err)
	}
	if v := codec.Compare(&codec.Schema{Kind: codec.Foreign, Codec: "avro", Version: 1, Description: []byte("{")}, old.Schema()); v.Err() == nil {
		t.Error("a schema that is none is read")
	}
}

// What Avro's rules refuse is told with the field that they refuse it for, wherever it lies.
func TestRefused(t *testing.T) {
	record := func(fields string) string { return `{"type":"record","name":"order","fields":[` + fields + `]}` }
	for _, c := range []struct{ name, old, now, want string }{
		{"another type", record(`{"name":"count","type":"long"}`), record(`{"name":"count","type":"string"}`), "field count: was long, is now string"},
		{"narrower", record(`{"name":"count","type":"long"}`), record(`{"name":"count","type":"int"}`), "field count: was long, is now int"},
		{"by its alias", record(`{"name":"n","type":"long"}`), record(`{"name":"count","aliases":["n"],"type":"int"}`), "field count: was long, is now int"},
		{"no default", record(``), record(`{"name":"count","type":"int"}`), "field count is new and has no default"},
		{"in a list of records", record(`{"name":"all","type":{"type":"array","items":{"type":"record","name":"one","fields":[{"name":"x","type":"int"}]}}}`),
			record(`{"name":"all","type":{"type":"array","items":{"type":"record","name":"one","fields":[{"name":"x","type":"bytes"}]}}}`), "field all.x: was int, is now bytes"},
		{"in a map", record(`{"name":"all","type":{"type":"map","values":"int"}}`), record(`{"name":"all","type":{"type":"map","values":"boolean"}}`), "field all: was int, is now boolean"},
		{"recursive", record(`{"name":"next","type":["null","order"]},{"name":"x","type":"int"}`), record(`{"name":"next","type":["null","order"]},{"name":"x","type":"string"}`), "field x: was int, is now string"},
		{"a symbol that is gone", record(`{"name":"color","type":{"type":"enum","name":"c","symbols":["RED","BLUE"]}}`), record(`{"name":"color","type":{"type":"enum","name":"c","symbols":["RED"]}}`), "field color: "},
		{"another record", record(``), `{"type":"record","name":"other","fields":[]}`, "names do not match"},
		{"no record", record(``), `"int"`, "int"},
	} {
		_, err := avro.Resolve(c.now, c.old)
		if err == nil || !strings.HasPrefix(err.Error(), "by Avro's rules: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// Damaged lengths cannot make a decoder take much memory.
func TestAllocationIsBounded(t *testing.T) {
	c := codecOf[orderV1](t)
	for _, claimed := range [][]byte{{0xfe, 0xff, 0xff, 0xff, 0x0f}, {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}} {
		for _, src := range [][]byte{claimed, append([]byte{2, 'a', 2}, claimed...)} {
			src = append([]byte{byte(len(src))}, src...)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var v orderV1
			_, err := c.Decode(src, &v)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 || !errors.Is(err, codec.ErrCorrupt) {
				t.Errorf("%x: %d bytes allocated, %v", src, n, err)
			}
		}
	}
}

// FuzzDecode shows that no bytes make the decoders panic.
func FuzzDecode(f *testing.F) {
	old, err := codec.For[orderV1]()
	if err != nil {
		f.Fatal(err)
	}
	r, err := codec.From[orderV2](old.Schema())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(old.Append(nil, &orderV1{"a", -3, []string{"x"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v1 orderV1
		if _, err := old.Decode(b, &v1); err != nil && !errors.Is(err, codec.ErrCorrupt) {
			t.Fatal(err)
		}
		var v2 orderV2
		if _, err := r.Decode(b, &v2); err != nil && !errors.Is(err, codec.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
