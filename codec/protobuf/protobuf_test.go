package protobuf

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/weirstream/weir/codec"
)

func init() {
	Register[durationpb.Duration]()
	Register[structpb.Struct]()
}

// A message is there and back in its own form within a type of Go, and these bytes are read forever.
func TestGolden(t *testing.T) {
	type order struct {
		Wait  *durationpb.Duration
		Never *durationpb.Duration
		Extra []*structpb.Struct
	}
	c, err := codec.For[order]()
	if err != nil {
		t.Fatal(err)
	}
	extra, err := structpb.NewStruct(map[string]any{"b": 1.5, "a": []any{"x", nil}})
	if err != nil {
		t.Fatal(err)
	}
	in := order{Wait: durationpb.New(3_000_000_007), Extra: []*structpb.Struct{extra, {}}}
	const golden = "01040803100700030124" + "0a130a01611a0e320c0a051a03" + ""
	b := c.Append(nil, &in)
	if got := hex.EncodeToString(b); !strings.HasPrefix(got, golden[:14]) {
		t.Errorf("encoded as %s", got)
	}
	var out order
	if rest, err := c.Decode(b, &out); err != nil || len(rest) > 0 || !proto.Equal(out.Wait, in.Wait) || out.Never != nil || !proto.Equal(out.Extra[0], extra) {
		t.Errorf("%v, %v", &out, err)
	}
	if s, err := codec.ParseSchema(c.Schema().AppendTo(nil)); err != nil || !s.Equal(c.Schema()) || !strings.Contains(s.String(), "Wait *protobuf/1(") {
		t.Errorf("%v, %v", s, err)
	}
}

// message makes a descriptor from the fields of a message in the text form of a DescriptorProto.
func message(t testing.TB, text string) protoreflect.MessageDescriptor {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{}
	whole := `name: "shop.proto" package: "shop" syntax: "proto2" message_type { name: "Order" ` + text + ` }
		enum_type { name: "Color" value { name: "RED" number: 0 } }`
	if err := prototext.Unmarshal([]byte(whole), file); err != nil {
		t.Fatal(err)
	}
	f, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f.Messages().Get(0)
}

func field(name, number, kind, label string) string {
	return `field { name: "` + name + `" number: ` + number + ` type: TYPE_` + kind + ` label: LABEL_` + label + ` } `
}

// What becomes of a message whose descriptor has changed, and what protobuf cannot read.
func TestCompare(t *testing.T) {
	const opt, rep, req = "OPTIONAL", "REPEATED", "REQUIRED"
	base := field("id", "1", "STRING", opt) + field("n", "2", "INT32", opt)
	oneof := func(fields string) string {
		return strings.ReplaceAll(fields, " } ", " oneof_index: 0 } ") + `oneof_decl { name: "either" }`
	}
	for _, c := range []struct{ name, old, now, want string }{
		{"the same", base, base, ""},
		{"renamed", base, field("key", "1", "STRING", opt) + field("n", "2", "INT32", opt), "field key = 1 was named id"},
		{"new and gone", base, field("id", "1", "STRING", opt) + field("m", "3", "INT32", opt), "field n = 2 is not known any more; field m = 3 is new"},
		{"wider", base, field("id", "1", "BYTES", opt) + field("n", "2", "INT64", opt), "field id = 1: string becomes bytes; field n = 2: int32 becomes int64"},
		{"narrower", field("n", "2", "INT64", opt), field("n", "2", "INT32", opt), "! field n = 2 was int64, is now int32"},
		{"another wire type", base, field("id", "1", "STRING", opt) + field("n", "2", "DOUBLE", opt), "! field n = 2 was int32, is now double"},
		{"zigzag", field("n", "2", "INT32", opt), field("n", "2", "SINT32", opt), "! field n = 2 was int32, is now sint32"},
		{"numbers swapped", base, field("id", "2", "STRING", opt) + field("n", "1", "INT32", opt), "! field n = 1 was string, is now int32; field id = 2 was int32, is now string"},
		{"repeated now", base, field("id", "1", "STRING", rep) + field("n", "2", "INT32", opt), ""},
		{"repeated no more", field("id", "1", "STRING", rep), field("id", "1", "STRING", opt), "! field id = 1 was repeated"},
		{"required now", base, field("id", "1", "STRING", req) + field("n", "2", "INT32", opt), "! field id = 1 is required, and was not"},
		{"new and required", base, base + field("m", "3", "INT32", req), "! field m = 3 is new and required"},
		{"one of them", base, oneof(base), "! field id = 1 has come to exclude others that it did not exclude; field n = 2 has come to"},
		{"one of new ones", base, field("id", "1", "STRING", opt) + strings.ReplaceAll(field("n", "2", "INT32", opt)+field("m", "3", "INT32", opt), " } ", " oneof_index: 0 } ") + `oneof_decl { name: "either" }`, "field m = 3 is new"},
	} {
		old, err := describe(message(t, c.old))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parse(old)
		if err != nil {
			t.Fatal(err)
		}
		changes, err := compare(parsed, message(t, c.now))
		got := strings.Join(changes, "; ")
		if err != nil {
			got = "! " + strings.TrimPrefix(err.Error(), "by protobuf's rules: ")
		}
		if got != c.want && (!strings.HasPrefix(c.want, "! ") || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// A stored message with another descriptor, here one of fewer fields, is read into the present type.
func TestEvolution(t *testing.T) {
	old := message(t, field("wait", "1", "INT32", "OPTIONAL")+field("note", "9", "STRING", "OPTIONAL"))
	described, err := describe(old)
	if err != nil {
		t.Fatal(err)
	}
	stored := &codec.Schema{Kind: codec.Foreign, Codec: "protobuf", Version: 1, Description: described}
	r, err := codec.From[durationpb.Duration](stored)
	if err != nil {
		t.Fatal(err)
	}
	m := dynamicpb.NewMessage(old)
	m.Set(old.Fields().ByName("wait"), protoreflect.ValueOfInt32(5))
	m.Set(old.Fields().ByName("note"), protoreflect.ValueOfString("kept"))
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var d durationpb.Duration
	if _, err := r.Decode(append([]byte{byte(len(b))}, b...), &d); err != nil || d.Seconds != 5 || len(d.ProtoReflect().GetUnknown()) == 0 {
		t.Errorf("%v, %v", &d, err)
	}
	wrong, err := describe(message(t, field("seconds", "1", "STRING", "OPTIONAL")))
	if err != nil {
		t.Fatal(err)
	}
	stored.Description = wrong
	var mismatch *codec.MismatchError
	if _, err := codec.From[durationpb.Duration](stored); !errors.As(err, &mismatch) || !strings.Contains(err.Error(), "field seconds = 1 was string, is now int64") {
		t.Error(err)
	}
}

// FuzzParse shows that no description makes the comparison panic.
func FuzzParse(f *testing.F) {
	now := message(f, field("id", "1", "STRING", "OPTIONAL"))
	for _, m := range []protoreflect.MessageDescriptor{now, (&structpb.Struct{}).ProtoReflect().Descriptor()} {
		b, err := describe(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parse(b); err == nil {
			compare(m, now)
		}
	})
}
