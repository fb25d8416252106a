package heap

// Timers returns the number of timers that the bound processors have. Layout.Timer takes the numbers below it.
func (l *Layout) Timers() int { return len(l.timers) }
