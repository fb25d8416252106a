package operator

import (
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/stateform"
)

// The list states that the engine's own steps keep, in forms of their own.
var (
	// SourceForm is what a source keeps beside the state of its enumerator.
	SourceForm = stateform.Form{Lists: []stateform.State{{Name: splitState, Kind: stateform.Split}}}
	// SinkForm is what a sink with two phases keeps.
	SinkForm = stateform.Form{Lists: []stateform.State{{Name: WriterState, Kind: stateform.Split}, {Name: PendingState, Kind: stateform.Split}}}
	// EventTimeForm is what a step that assigns event times keeps.
	EventTimeForm = stateform.Form{Lists: []stateform.State{{Name: snapshot.EventTimeList, Kind: stateform.Union}}}
	// WatermarkList is what a keyed step keeps beside its keyed state.
	WatermarkList = stateform.State{Name: snapshot.WatermarkList, Kind: stateform.Broadcast}
)
