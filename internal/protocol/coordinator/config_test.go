package coordinator

import "testing"

// TestNewRefuses shows that a coordinator is not made of values that cannot work.
func TestNewRefuses(t *testing.T) {
	refuses := func(name string, cfg Config, j Job) {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("New did not panic")
				}
			}()
			New(cfg, j)
		})
	}
	refuses("bad config", Config{}, Job{})
	refuses("no topological order", DefaultConfig(), Job{Vertices: []Vertex{{Inputs: []Input{{From: 1}}}, {}}})
}
