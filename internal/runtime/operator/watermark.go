package operator

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// WatermarkState is the name of the list state that holds how far event time had come in a subtask with timers or windows, so that what was late before
// a restore is late after it.
//
// It is a broadcast state: at the same parallelism a subtask finds its own watermark, at another one that of some subtask. That does: when
// a barrier has come through all inputs of a subtask, every record behind it that is on time lies after the watermark of every subtask.
const WatermarkState = snapshot.WatermarkList

// WatermarkCapture returns the state that holds a watermark; it is empty if there is none yet.
func WatermarkCapture(seen int64) *ListCapture {
	if seen == element.NoTime {
		return &ListCapture{}
	}
	return &ListCapture{Lists: []ListData{{
		Name: WatermarkState, Mode: snapshot.Broadcast, Elements: [][]byte{binary.LittleEndian.AppendUint64(nil, uint64(seen))},
	}}}
}

// ReadWatermark returns the watermark that a subtask goes on with, element.NoTime if there is none.
func ReadWatermark(ctx context.Context, env *Env) (int64, error) {
	elements, err := ReadList(ctx, env, WatermarkState)
	if err != nil {
		return element.NoTime, err
	}
	seen := element.NoTime
	for _, e := range elements {
		if len(e) != 8 {
			return element.NoTime, fmt.Errorf("state %q: element of %d bytes, want 8", WatermarkState, len(e))
		}
		seen = max(seen, int64(binary.LittleEndian.Uint64(e)))
	}
	return seen, nil
}
