package codec

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

type (
	everythingWrong struct {
		Done chan bool
		On   func()
		Out  io.Writer
		At   unsafe.Pointer
		Addr uintptr
		//lint:ignore U1000 unexported on purpose
		hidden int
		//lint:ignore U1000 unexported on purpose
		mu    sync.Mutex
		Items []struct{ Extra any }
		Rates map[float64]string
		Seen  map[time.Time]bool
		Tiny  map[[2]partial]bool
		Total big.Rat
		Page  *url.URL
		Odd   int `codec:"a b"`
		None  int `codec:""`
	}

	partial struct {
		A int
		B int `codec:"-"`
	}

	sameNames struct {
		base
		Owner string
		A     int `codec:"x"`
		B     int `codec:"x"`
	}

	embedsTime struct {
		time.Time
		Zone string
	}

	decimal struct{ digits string }

	// price has the methods of decimal, which know nothing of the currency.
	price struct {
		decimal
		Currency string
	}

	rebound struct{ to *string }

	badName  struct{ none }
	negative struct{ none }
	none     struct{}

	// wide has 2 to the 14th leaves.
	wide  struct{ A, B wide1 }
	wide1 struct{ A, B, C, D wide2 }
	wide2 struct{ A, B, C, D wide3 }
	wide3 struct{ A, B, C, D wide4 }
	wide4 struct{ A, B, C, D wide5 }
	wide5 struct{ A, B, C, D wide6 }
	wide6 struct{ A, B, C, D [2]wide7 }
	wide7 struct{ A, B, C, D int }
)

func (decimal) CodecID() (string, int)           { return "decimal", 1 }
func (d decimal) MarshalBinary() ([]byte, error) { return []byte(d.digits), nil }
func (d *decimal) UnmarshalBinary(b []byte) error {
	d.digits = string(b)
	return nil
}

func (r rebound) CodecID() (string, int)        { return *r.to, 1 }
func (none) MarshalBinary() ([]byte, error)     { return nil, nil }
func (*none) UnmarshalBinary(b []byte) error    { return nil }
func (badName) CodecID() (string, int)          { return "a b", 1 }
func (negative) CodecID() (string, int)         { return "n", -1 }
func (rebound) MarshalBinary() ([]byte, error)  { return nil, nil }
func (*rebound) UnmarshalBinary(b []byte) error { return nil }

var _ encoding.BinaryMarshaler = price{}

// What a user reads about each type that has no codec. The texts are in testdata/refusals.txt, for review as a diff.
func TestRefusals(t *testing.T) {
	var got bytes.Buffer
	for _, typ := range []reflect.Type{
		nil,
		reflect.TypeFor[any](),
		reflect.TypeFor[func()](),
		reflect.TypeFor[everythingWrong](),
		reflect.TypeFor[sameNames](),
		reflect.TypeFor[embedsTime](),
		reflect.TypeFor[price](),
		reflect.TypeFor[rebound](),
		reflect.TypeFor[badName](),
		reflect.TypeFor[negative](),
		reflect.TypeFor[wide](),
		deep(reflect.TypeFor[int](), maxSchemaDepth),
		reflect.StructOf([]reflect.StructField{{Name: strings.Repeat("A", 256), Type: reflect.TypeFor[int]()}}),
	} {
		c, err := Of(typ)
		if err == nil {
			t.Errorf("%v has a codec: %v", typ, c.Schema())
			continue
		}
		if te := (*TypeError)(nil); !errors.As(err, &te) || te.Type != typ {
			t.Errorf("%v: the error %v is no TypeError of it", typ, err)
		}
		fmt.Fprintf(&got, "%v\n\n", err)
	}
	const file = "testdata/refusals.txt"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the texts are not those of %s (go test -update rewrites it):\n%s", file, got.Bytes())
	}
}

// deep returns a pointer to a pointer ... to t, in so many levels more than t has.
func deep(t reflect.Type, levels int) reflect.Type {
	for range levels {
		t = reflect.PointerTo(t)
	}
	return t
}

// Whatever has a codec has a schema that can be read back, up to the very limits. The forest has a level for its slice and one for the
// reference to itself.
func TestDeepestType(t *testing.T) {
	for typ, deepest := range map[reflect.Type]int{
		reflect.TypeFor[int]():    maxSchemaDepth - 1,
		reflect.TypeFor[forest](): maxSchemaDepth - 2,
	} {
		c, err := Of(deep(typ, deepest))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseSchema(c.Schema().AppendTo(nil)); err != nil {
			t.Errorf("%v: %v", c.Type(), err)
		}
		if _, err := Of(deep(typ, deepest+1)); err == nil {
			t.Errorf("%d levels around %v have a codec", deepest+1, typ)
		}
	}
}
