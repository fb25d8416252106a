package exchange

import "fmt"

// PartitionError says that a custom partitioner picked a channel that does not exist.
type PartitionError struct{ Picked, Channels int }

// Error says what was picked and what would have been allowed.
func (e *PartitionError) Error() string {
	return fmt.Sprintf("custom partitioner returned %d: it must return 0 to %d", e.Picked, e.Channels-1)
}
