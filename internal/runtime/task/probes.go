package task

import (
	"iter"

	"github.com/weirstream/weir/internal/element"
)

// probes brings the probes of a task's channels together: one goes on when it has come through every channel whose data has not ended. It
// blocks none, since what comes behind a probe may as well come before it.
type probes []loopProbes

// loopProbes are those of one loop.
type loopProbes struct {
	loop    uint16
	arrived []uint32 // the latest round by channel; the last one for a channel whose data has ended
	sent    uint32
}

// newProbes returns the probes of a task that is part of some loops.
func newProbes(loops []uint16, channels int) probes {
	var p probes
	for _, l := range loops {
		p = append(p, loopProbes{loop: l, arrived: make([]uint32, channels)})
	}
	return p
}

// arrived takes the probe of one channel, and returns the round of the one that goes on, if any. A task that is no part of the loop stands
// behind it, where probes end.
func (p probes) arrived(ch int, loop uint16, round uint32) (uint32, bool) {
	for i := range p {
		if p[i].loop == loop {
			p[i].arrived[ch] = max(p[i].arrived[ch], round)
			return p[i].merge()
		}
	}
	return 0, false
}

// endOfData takes the end of the data of one channel, and returns the rounds that go on, by loop.
func (p probes) endOfData(ch int) iter.Seq2[uint16, uint32] {
	return func(yield func(uint16, uint32) bool) {
		for i := range p {
			p[i].arrived[ch] = element.LastRound
			if round, ok := p[i].merge(); ok && !yield(p[i].loop, round) {
				return
			}
		}
	}
}

// merge returns the round that has come through all channels, if it has not been sent on.
func (l *loopProbes) merge() (uint32, bool) {
	lowest := element.LastRound
	for _, r := range l.arrived {
		lowest = min(lowest, r)
	}
	if lowest == l.sent {
		return 0, false
	}
	l.sent = lowest
	return lowest, true
}
