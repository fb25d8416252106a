package json_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/codec/json"
)

type (
	orderV1 struct {
		ID    string         `json:"id"`
		Count map[string]int `json:"count,omitempty"`
		Note  any            `json:"note"`
	}
	orderV2 struct {
		ID    string    `json:"id"`
		Count any       `json:"count"`
		Price []float64 `json:"price"`
	}
)

func init() {
	json.Register[orderV1]()
	json.Register[orderV2]()
}

// A value is there and back as JSON, with what no codec of Go types can have, and these bytes are read forever.
func TestGolden(t *testing.T) {
	c, err := codec.For[[]*orderV1]()
	if err != nil {
		t.Fatal(err)
	}
	in := []*orderV1{{"a", map[string]int{"y": 2, "x": 1}, "n"}, nil, {}}
	const golden = "0401" + "2b7b226964223a2261222c22636f756e74223a7b2278223a312c2279223a327d2c226e6f7465223a226e227d" + "00" + "01" + "157b226964223a22222c226e6f7465223a6e756c6c7d"
	if got := hex.EncodeToString(c.Append(nil, &in)); got != golden {
		t.Errorf("encoded as %s", got)
	}
	b, _ := hex.DecodeString(golden)
	out := []*orderV1{{Count: map[string]int{"old": 1}}}
	if rest, err := c.Decode(b, &out); err != nil || len(rest) > 0 || !reflect.DeepEqual(out, in) {
		t.Errorf("%v, %v", out, err)
	}
	if got := c.Schema().String(); got != "[]*json/1" {
		t.Error(got)
	}
}

// Another version reads what encoding/json makes of it, without a word about types.
func TestEvolution(t *testing.T) {
	old, err := codec.For[orderV1]()
	if err != nil {
		t.Fatal(err)
	}
	r, err := codec.From[orderV2](old.Schema())
	if err != nil {
		t.Fatal(err)
	}
	var v orderV2
	if _, err := r.Decode(old.Append(nil, &orderV1{ID: "a", Count: map[string]int{"x": 1}}), &v); err != nil || fmt.Sprint(v) != "{a map[x:1] []}" {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := r.Decode([]byte("\x0c{\"price\":\"x\"}")[:13], &v); !errors.Is(err, codec.ErrCorrupt) {
		t.Errorf("a price that is none: %v, %v", v, err)
	}
}
