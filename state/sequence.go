package state

// sequence is a list that belongs to a subtask.
type sequence[T any] struct {
	items []T
	wiped int // how often it was cleared, so that loops notice
}

func (s *sequence[T]) append(elements ...T) { s.items = append(s.items, elements...) }

func (s *sequence[T]) all() []T { return s.items }

func (s *sequence[T]) each(yield func(T) bool) {
	wiped := s.wiped
	for _, x := range s.items {
		if !yield(x) || s.wiped != wiped {
			return
		}
	}
}

func (s *sequence[T]) clear() {
	s.items = nil
	s.wiped++
}
