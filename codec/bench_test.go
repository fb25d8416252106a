package codec

import (
	"reflect"
	"testing"
	"unsafe"
)

// The record of 4 int64 and 2 strings that the other serialisers were measured with: 116 bytes with fixed-width lengths.
func benchRecord() record {
	return record{1000001, 1436918400000, 4711, 7, "a string of about thirty bytes", "another, slightly longer string of some fifty bytes"}
}

func BenchmarkEncodeRecord(b *testing.B) {
	c, r := must[record](), benchRecord()
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = c.Append(buf[:0], &r)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecodeRecord(b *testing.B) {
	c, r := must[record](), benchRecord()
	src := c.Append(nil, &r)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Decode(src, &r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodePoint(b *testing.B) {
	c, p := must[point](), point{1, 2}
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf = c.Append(buf[:0], &p)
	}
}

func BenchmarkDecodePoint(b *testing.B) {
	c, p := must[point](), point{1, 2}
	src := c.Append(nil, &p)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Decode(src, &p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeThousandPoints(b *testing.B) {
	c, err := Of(reflect.TypeFor[point]())
	if err != nil {
		b.Fatal(err)
	}
	points := make([]point, 1000)
	buf := make([]byte, 0, 16*1000)
	b.SetBytes(16 * 1000)
	b.ReportAllocs()
	for b.Loop() {
		buf = c.AppendSlice(buf[:0], unsafe.Pointer(&points[0]), len(points))
	}
}

func BenchmarkEncodeMapOf8(b *testing.B) {
	c, m := must[map[string]int64](), eight()
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = c.Append(buf[:0], &m)
	}
}

func BenchmarkDecodeMapOf8(b *testing.B) {
	c, m := must[map[string]int64](), eight()
	src := c.Append(nil, &m)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Decode(src, &m); err != nil {
			b.Fatal(err)
		}
	}
}

func eight() map[string]int64 {
	return map[string]int64{"index": 1, "cart": 2, "checkout": 3, "help": 4, "search": 5, "item": 6, "login": 7, "logout": 8}
}
