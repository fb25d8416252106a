package weir_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/codec/avro"
	"github.com/weirstream/weir/codec/protobuf"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/state"
)

// The versions of a type in Avro's form.
type (
	parcelV1 struct {
		ID   string   `avro:"id"`
		Sum  int32    `avro:"sum"`
		Tags []string `avro:"tags"`
	}
	parcelV2 struct { // id is renamed, sum wider, tags are gone, count is new
		Key   string `avro:"key"`
		Sum   int64  `avro:"sum"`
		Count int64  `avro:"count"`
	}
	parcelBad struct {
		Sum string `avro:"sum"`
	}
)

func init() {
	avro.Register[parcelV1](`{"type":"record","name":"parcel","fields":[{"name":"id","type":"string"},{"name":"sum","type":"int"},{"name":"tags","type":{"type":"array","items":"string"}}]}`)
	avro.Register[parcelV2](`{"type":"record","name":"parcel","fields":[{"name":"key","aliases":["id"],"type":"string","default":""},{"name":"sum","type":"long"},{"name":"count","type":"long","default":100}]}`)
	avro.Register[parcelBad](`{"type":"record","name":"parcel","fields":[{"name":"sum","type":"string"}]}`)
	protobuf.Register[wrapperspb.Int32Value]()
	protobuf.Register[wrapperspb.Int64Value]()
	protobuf.Register[wrapperspb.StringValue]()
	protobuf.Register[durationpb.Duration]()
}

// formed keeps values of a type that a library writes, in each kind of keyed state.
type formed[V any] struct {
	Last  state.Value[V]     `state:"last"`
	Some  state.Map[int, V]  `state:"some"`
	Old   state.List[V]      `state:"old"`
	Since state.Value[int64] `state:"since"` // records since it is this version
	version[V]
}

// version says how a version of the type is used.
type version[V any] struct {
	counts bool
	next   func(v V, r reading, since int64) (V, error)
	sum    func(v V) int
}

func (p *formed[V]) On(c *weir.Ctx[int, string], r reading) error {
	if p.counts {
		p.Since.Set(p.Since.Get() + 1)
	}
	v, err := p.next(p.Last.Get(), r, p.Since.Get())
	if err != nil {
		return fmt.Errorf("key %d seq %d: %w", r.Key, r.Seq, err)
	}
	p.Last.Set(v)
	p.Some.Put(r.Seq%16, v)
	p.Old.Append(v)
	some, old := 0, 0
	for _, v := range p.Some.All() {
		some += p.sum(v)
	}
	for v := range p.Old.All() {
		old += p.sum(v)
	}
	c.Emit(fmt.Sprintf("key %d seq %d: %d, some %d, old %d", r.Key, r.Seq, p.sum(v), some, old))
	return nil
}

// formedOf returns what formed emits, whatever versions have run.
func formedOf(splits [][]reading) (all []string) {
	for _, split := range splits {
		last, old, some := map[int]int{}, map[int]int{}, map[int]map[int]int{}
		for _, r := range split {
			if some[r.Key] == nil {
				some[r.Key] = map[int]int{}
			}
			last[r.Key] += r.Seq
			some[r.Key][r.Seq%16] = last[r.Key]
			old[r.Key] += last[r.Key]
			sum := 0
			for _, n := range some[r.Key] {
				sum += n
			}
			all = append(all, fmt.Sprintf("key %d seq %d: %d, some %d, old %d", r.Key, r.Seq, last[r.Key], sum, old[r.Key]))
		}
	}
	slices.Sort(all)
	return all
}

func build[V any](w *world, v version[V]) func(*weir.Job) {
	return func(j *weir.Job) {
		keyed := weir.KeyBy(weir.From(j, "in", w.in), func(r reading) int { return r.Key })
		weir.To(weir.Process(keyed, "formed", &formed[V]{version: v}), "out", w.sink)
	}
}

// library is a type in several versions: what each must read of the one before, and one that cannot.
type library struct {
	versions []func(w *world) func(*weir.Job)
	bad      func(w *world) func(*weir.Job)
	why      []string // bad is refused
}

var libraries = map[string]library{
	"avro": {
		[]func(*world) func(*weir.Job){
			func(w *world) func(*weir.Job) {
				return build(w, version[parcelV1]{
					next: func(v parcelV1, r reading, _ int64) (parcelV1, error) {
						return parcelV1{fmt.Sprint("key ", r.Key), v.Sum + int32(r.Seq), append(slices.Clone(v.Tags), "tag")[:1]}, nil
					},
					sum: func(v parcelV1) int { return int(v.Sum) },
				})
			},
			func(w *world) func(*weir.Job) {
				return build(w, version[parcelV2]{
					counts: true,
					next: func(v parcelV2, r reading, since int64) (parcelV2, error) {
						if v.Key != fmt.Sprint("key ", r.Key) || since == 1 && v.Count != 100 || since > 1 && v.Count != 100+since-1 {
							return v, fmt.Errorf("record %d has %+v", since, v)
						}
						return parcelV2{v.Key, v.Sum + int64(r.Seq), 100 + since}, nil
					},
					sum: func(v parcelV2) int { return int(v.Sum) },
				})
			},
		},
		func(w *world) func(*weir.Job) {
			return build(w, version[parcelBad]{next: func(v parcelBad, _ reading, _ int64) (parcelBad, error) { return v, nil }, sum: func(parcelBad) int { return 0 }})
		},
		[]string{"by Avro's rules: field sum: was long, is now string"},
	},
	"protobuf": {
		[]func(*world) func(*weir.Job){
			func(w *world) func(*weir.Job) {
				return build(w, version[*wrapperspb.Int32Value]{
					next: func(v *wrapperspb.Int32Value, r reading, _ int64) (*wrapperspb.Int32Value, error) {
						return wrapperspb.Int32(v.GetValue() + int32(r.Seq)), nil
					},
					sum: func(v *wrapperspb.Int32Value) int { return int(v.GetValue()) },
				})
			},
			func(w *world) func(*weir.Job) { // field 1 has another name and is wider, field 2 is new
				return build(w, version[*durationpb.Duration]{
					counts: true,
					next: func(v *durationpb.Duration, r reading, since int64) (*durationpb.Duration, error) {
						if int64(v.GetNanos()) != since-1 {
							return v, fmt.Errorf("record %d has %v", since, v)
						}
						return &durationpb.Duration{Seconds: v.GetSeconds() + int64(r.Seq), Nanos: int32(since)}, nil
					},
					sum: func(v *durationpb.Duration) int { return int(v.GetSeconds()) },
				})
			},
			func(w *world) func(*weir.Job) { // field 2 is gone
				return build(w, version[*wrapperspb.Int64Value]{
					next: func(v *wrapperspb.Int64Value, r reading, _ int64) (*wrapperspb.Int64Value, error) {
						return wrapperspb.Int64(v.GetValue() + int64(r.Seq)), nil
					},
					sum: func(v *wrapperspb.Int64Value) int { return int(v.GetValue()) },
				})
			},
		},
		func(w *world) func(*weir.Job) {
			return build(w, version[*wrapperspb.StringValue]{
				next: func(v *wrapperspb.StringValue, _ reading, _ int64) (*wrapperspb.StringValue, error) { return v, nil },
				sum:  func(*wrapperspb.StringValue) int { return 0 },
			})
		},
		[]string{"field value = 1 was int64, is now string"},
	},
}

// TestFormsEvolve takes jobs whose state has a library's form from version to version of its type, through savepoints in either format and checkpoints, on
// either backend, at another parallelism each time. What they write is what one version alone would have written. A version that cannot read the
// state does not start, and says which state of which step it is, and what was and is its type.
func TestFormsEvolve(t *testing.T) {
	for name, l := range libraries {
		for _, c := range []struct{ backend, how string }{
			{"hashmap", "savepoint"}, {"hashmap", "checkpoint"}, {"pebble", "savepoint"}, {"pebble", "native"}, {"pebble", "checkpoint"},
		} {
			t.Run(name+"/"+c.backend+"/"+c.how, func(t *testing.T) {
				w := newWorld(t, 2, 45)
				w.set["state.backend.type"], w.set["state.backend.cache-size"] = c.backend, "64 kb"
				w.set["state.backend.pebble.localdir"] = filepath.Join(t.TempDir(), "state")
				w.set["execution.checkpointing.incremental"] = "true"
				w.wanted = func() []string { return formedOf(w.in.splits) }
				for i, v := range l.versions {
					w.build = v(w)
					e := w.running(1+i, 40*(i+1))
					switch c.how {
					case "checkpoint":
						e.Abort()
						w.end(e, weir.Aborted)
						continue
					case "native":
						w.take(e.StopWithSavepoint(context.Background(), savepoints, weir.NativeFormat()))
					default:
						w.take(e.StopWithSavepoint(context.Background(), savepoints))
					}
					w.end(e, weir.Finished)
				}
				good := w.build
				w.build = l.bad(w)
				_, err := weir.StartOn(t.Context(), w.job(2), w.fs, w.flags)
				var refused *start.Error
				if !errors.As(err, &refused) || refused.Code != exitcode.Refused {
					t.Fatalf("a type that cannot be read is not refused at the start: %v", err)
				}
				contains(t, err, append([]string{`step "formed"`, `state "last"`, "(field Last)"}, l.why...)...)
				w.build = good
				w.finish(2)
			})
		}
	}
}
