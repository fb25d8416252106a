package heap

// Timers returns the number of timers that the bound processors have. [Layout.Timer] takes the numbers below it once a store was made of
// the layout.
func (l *Layout) Timers() int {
	n := 0
	for _, c := range l.columns {
		if c.kind == KindTimer {
			n++
		}
	}
	return n
}
