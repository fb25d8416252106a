package heap

import "sync/atomic"

type Capture struct{ over atomic.Bool }
type OperatorLists struct{}
