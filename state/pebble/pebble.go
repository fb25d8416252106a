// Package pebble lets a job keep its keyed state on the local disk, in Pebble, so that it may be larger than memory and a checkpoint writes only
// what has changed. It is imported for its effect:
//
//	import _ "github.com/weirstream/weir/state/pebble"
//
// and chosen by the option state.backend.type: pebble, of which rocksdb is another name. Its settings are the options that begin with
// state.backend.pebble. in docs/reference/config.md.
//
// Rows that were used lately are in memory as with the default backend, in a cache of state.backend.cache-size, which is all that a record
// touches if its key is there. So a state that fits into the cache is about as fast as on the heap; for any other key a record
// costs a read from Pebble. Jobs that do not import this package do not carry Pebble.
package pebble

import (
	internal "github.com/weirstream/weir/internal/backend"
	"github.com/weirstream/weir/internal/backend/pebble"
	"github.com/weirstream/weir/state"
)

func init() { state.RegisterBackend(internal.Pebble, pebble.New) }
