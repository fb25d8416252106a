package datagen

import (
	"fmt"
	"slices"
	"time"

	"github.com/weirstream/weir/source"
	"github.com/weirstream/weir/source/pace"
)

// reader makes the records of its splits in turn, a batch of one and then of the next.
type reader[T any] struct {
	generator *Generator[T]
	env       source.ReaderEnv
	splits    []*running
	turn      int
	noMore    bool
}

// running is a split in work.
type running struct {
	split
	limiter *pace.Limiter // nil without a rate
}

func (r *reader[T]) Start() error {
	r.requestMore()
	return nil
}

// requestMore asks for splits until there are none: a generator has few, and all should run side by side.
func (r *reader[T]) requestMore() {
	if !r.noMore {
		r.env.RequestSplit()
	}
}

func (r *reader[T]) AddSplits(splits []source.Split) error {
	for _, public := range splits {
		s, rest, err := cutSplit(public.Data)
		if err != nil || len(rest) > 0 {
			return fmt.Errorf("split %s: %w", public.ID, errState)
		}
		limiter := pace.New(r.generator.options.rate / float64(s.of))
		r.splits = append(r.splits, &running{split: s, limiter: limiter})
	}
	return nil
}

func (r *reader[T]) NoMoreSplits() { r.noMore = true }

func (r *reader[T]) Poll(b *source.Batch[T]) (source.Status, error) {
	if len(r.splits) == 0 && r.noMore {
		return source.End, nil
	}
	r.requestMore()
	if len(r.splits) == 0 {
		return source.Idle, nil
	}
	if r.generator.options.rate > 0 {
		return r.pollDue(b), nil
	}
	r.make(b, r.next(), b.Max)
	return source.More, nil
}

// next returns the split whose turn it is.
func (r *reader[T]) next() *running {
	r.turn = (r.turn + 1) % len(r.splits)
	return r.splits[r.turn]
}

// pollDue makes what is due of the first split that has anything.
func (r *reader[T]) pollDue(b *source.Batch[T]) source.Status {
	now := r.env.Now()
	var wake time.Time
	for range r.splits {
		s := r.next()
		n, again := s.limiter.Take(now, r.left(s, b.Max))
		if n > 0 || r.left(s, 1) == 0 {
			r.make(b, s, n)
			return source.More
		}
		if wake.IsZero() || again.Before(wake) {
			wake = again
		}
	}
	b.WakeAt = wake
	return source.Idle
}

// left returns how many records of a split are still to be made, at most limit.
func (r *reader[T]) left(s *running, limit int) int {
	if r.generator.n == Unbounded {
		return limit
	}
	total := (r.generator.n - s.index + s.of - 1) / s.of // may be negative if there are more splits than records
	return int(max(0, min(total-s.made, int64(limit))))
}

// make appends the next records of a split, at most n.
func (r *reader[T]) make(b *source.Batch[T], s *running, n int) {
	g := r.generator
	n = r.left(s, n)
	have := len(b.Records)
	b.Records = slices.Grow(b.Records, n)[:have+n]
	first := s.index + s.made*s.of
	g.fill(first, s.of, b.Records[have:])
	if g.options.time != nil {
		for k := range n {
			b.Times = append(b.Times, g.options.time(first+int64(k)*s.of))
		}
	}
	s.made += int64(n)
	b.Split = s.id()
	if r.left(s, 1) == 0 {
		b.SplitEnd = true
		r.splits = slices.DeleteFunc(r.splits, func(other *running) bool { return other == s })
	}
}

func (r *reader[T]) Snapshot(int64) ([]source.Split, error) {
	splits := make([]source.Split, 0, len(r.splits))
	for _, s := range r.splits {
		splits = append(splits, s.public())
	}
	return splits, nil
}

func (r *reader[T]) CheckpointComplete(int64) error { return nil }
func (r *reader[T]) Close() error                   { return nil }
