package window_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/weirstream/weir/window"
)

func TestStartOf(t *testing.T) {
	hours := window.Tumbling(time.Hour)
	const h = 3_600_000
	for at, want := range map[int64]int64{0: 0, 1: 0, h - 1: 0, h: h, h + 1: h, -1: -h, -h: -h, -h - 1: -2 * h} {
		if got := hours.StartOf(at); got != want {
			t.Errorf("StartOf(%d) = %d, want %d", at, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, size := range []time.Duration{0, -time.Second, time.Microsecond, time.Second + time.Nanosecond} {
		if window.Tumbling(size).Validate() == nil {
			t.Errorf("a size of %v was accepted", size)
		}
	}
}

func ExampleTumbling() {
	hours := window.Tumbling(time.Hour)
	at := time.Date(2001, 1, 1, 10, 42, 0, 0, time.UTC)
	fmt.Println(time.UnixMilli(hours.StartOf(at.UnixMilli())).UTC())
	// Output: 2001-01-01 10:00:00 +0000 UTC
}
