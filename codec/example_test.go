package codec_test

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"unsafe"

	"github.com/weirstream/weir/codec"
)

type Visit struct {
	User  string
	Pages []string
	Hits  int `codec:"hits"`
	cache any `codec:"-"`
}

func ExampleFor() {
	visits, err := codec.For[Visit]()
	if err != nil {
		panic(err)
	}
	b := visits.Append(nil, &Visit{User: "ann", Pages: []string{"/", "/cart"}, Hits: 2, cache: "lost"})
	var v Visit
	rest, err := visits.Decode(b, &v)
	fmt.Println(v, len(rest), err)
	// Output: {ann [/ /cart] 2 <nil>} 0 <nil>
}

func ExampleCodec() {
	var counts codec.Codec[map[string]int]
	counts, err := codec.For[map[string]int]()
	if err != nil {
		panic(err)
	}
	fmt.Printf("%x\n", counts.Append(nil, &map[string]int{"b": 2, "a": 1}))
	fmt.Println(counts.Schema())
	_, err = counts.Decode([]byte{200}, new(map[string]int))
	fmt.Println(err, errors.Is(err, codec.ErrCorrupt))
	// Output:
	// 030161010000000000000001620200000000000000
	// map[string]int64
	// decode value: its length is damaged: corrupt value true
}

func ExampleOf() {
	type Session struct {
		Clicks int
		Done   chan bool
	}
	_, err := codec.Of(reflect.TypeFor[Session]())
	fmt.Println(err)
	// Output: codec: type codec_test.Session cannot be encoded: field Done (chan bool): a channel means nothing outside its process; store what it carries, or leave it out with `codec:"-"`
}

func ExampleCompiled_AppendSlice() {
	type Point struct{ X, Y int16 }
	points, err := codec.Of(reflect.TypeFor[Point]())
	if err != nil {
		panic(err)
	}
	rows := []Point{{1, 2}, {3, 4}}
	fmt.Println(points.FixedSize(), points.PointerFree())
	fmt.Printf("%x\n", points.AppendSlice(nil, unsafe.Pointer(&rows[0]), len(rows)))
	// Output:
	// 4 true
	// 0100020003000400
}

func ExampleCompare() {
	type Old struct {
		Name string
		Hits int32
		Page string
	}
	type New struct {
		User string `codec:",formerly=Name"`
		Hits int64
		Last int64 `codec:",default=-1"`
	}
	old, _ := codec.For[Old]()
	now, _ := codec.For[New]()
	v := codec.Compare(old.Schema(), now.Schema())
	for _, change := range v.Changes {
		fmt.Println(change)
	}
	fmt.Println(v.Loses, v.Err())

	back := codec.Compare(now.Schema(), old.Schema())
	fmt.Println(back.Err())
	var mismatch *codec.MismatchError
	if errors.As(back.Err(), &mismatch) {
		fmt.Println(mismatch.Differences[0].Path)
	}
	// Output:
	// field User: was named Name
	// field Hits: int32 becomes int64
	// field Last: is new (int64), -1 at first
	// field Page: is dropped (string)
	// true <nil>
	// field Hits: was int64, is now int32
	// Hits
}

func ExampleFrom() {
	type Old struct {
		Name string
		Hits int32
	}
	type New struct {
		User string `codec:",formerly=Name"`
		Hits int64
		Tags []string
	}
	old, _ := codec.For[Old]()
	stored := old.Append(nil, &Old{"ann", 3})

	r, err := codec.From[New](old.Schema())
	if err != nil {
		panic(err)
	}
	var v New
	_, err = r.Decode(stored, &v)
	fmt.Printf("%+v %v\n", v, err)
	// Output:
	// {User:ann Hits:3 Tags:[]} <nil>
}

func ExampleParseSchema() {
	visits, _ := codec.For[Visit]()
	stored := visits.Schema().AppendTo(nil)

	s, err := codec.ParseSchema(stored)
	fmt.Println(s, err)
	fmt.Println(s.Equal(visits.Schema()), s.Fingerprint())
	// Output:
	// struct{User string; Pages []string; hits int64} <nil>
	// true d0bbb15c6335359c8cb90d2e93caa63b
}

// Amount stores a number of any size in the text form of math/big.
type Amount struct{ v *big.Int }

func (Amount) CodecID() (name string, version int) { return "decimal-text", 1 }

func (a Amount) MarshalBinary() ([]byte, error) { return a.v.Append(nil, 10), nil }

func (a *Amount) UnmarshalBinary(b []byte) error {
	v, ok := new(big.Int).SetString(string(b), 10)
	if !ok {
		return errors.New("not a number")
	}
	a.v = v
	return nil
}

func ExampleBinary() {
	amounts, err := codec.For[[]Amount]()
	if err != nil {
		panic(err)
	}
	b := amounts.Append(nil, &[]Amount{{big.NewInt(12)}, {big.NewInt(345)}})
	fmt.Println(amounts.Schema())
	fmt.Printf("%q\n", b)
	// Output:
	// []opaque(decimal-text/1)
	// "\x03\x0212\x03345"
}
