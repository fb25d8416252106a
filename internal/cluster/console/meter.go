package console

import (
	"time"

	"github.com/weirstream/weir/internal/cluster/progress"
)

// over is the length of time that a rate is measured over: long enough to be read, short enough to follow.
const over = 5 * time.Second

// meter measures how fast the steps are.
type meter struct{ samples []sample } // of the last while, oldest first

type sample struct {
	at    time.Time
	steps []progress.Step
}

// add takes a sample and returns the rate of each step since the oldest one kept.
func (m *meter) add(at time.Time, steps []progress.Step) []Rate {
	m.samples = append(m.samples, sample{at, steps})
	for len(m.samples) > 2 && at.Sub(m.samples[1].at) >= over {
		m.samples = m.samples[1:]
	}
	first := m.samples[0]
	seconds := at.Sub(first.at).Seconds()
	rates := make([]Rate, len(steps))
	if seconds <= 0 || len(first.steps) != len(steps) {
		return rates
	}
	for i, s := range steps {
		rates[i] = Rate{float64(s.In-first.steps[i].In) / seconds, float64(s.Out-first.steps[i].Out) / seconds}
	}
	return rates
}
