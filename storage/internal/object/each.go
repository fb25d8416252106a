package object

import "sync"

// parallelDeletes is how many requests Each has under way at once.
const parallelDeletes = 16

// Each deletes keys one by one, several at a time, for stores without a request for many. It goes on after a failure and returns the first.
func Each(keys []string, delete func(key string) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex // guards first
	var first error
	slots := make(chan struct{}, parallelDeletes)
	for _, key := range keys {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			err := delete(key)
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	return first
}
