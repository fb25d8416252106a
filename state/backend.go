package state

import (
	"github.com/weirstream/weir/backend"
	internal "github.com/weirstream/weir/internal/backend"
)

// RegisterBackend makes a state backend known under a name: a job whose option state.backend.type has that name keeps its keyed state there. make
// is called once for each run of such a job; backend.Job.Settings has the options that begin with state.backend.<name>.
//
// It is called while the program is initialised, from an init function or at the start of main. It panics if the name is taken or holds
// anything but lower-case letters, digits and hyphens.
func RegisterBackend(name string, make backend.New) { internal.Register(name, make) }
