// Package savepoint answers what a program can do with the state of jobs while none of them runs: read it, make a savepoint for a job that
// has never run, and change what is in one.
//
// State is read and written through the same fields by which a processor has it. Any struct with fields of package state will do, the
// processor of the job itself or one made for the purpose; [Keys] goes from key to key and points the fields at each.
//
//		var p struct {
//			Clicks state.Value[int64] `state:"clicks"`
//		}
//		for user, err := range savepoint.Keys[string](ctx, snapshot, "sessions", &p) {
//			if err != nil {
//				return err
//			}
//			fmt.Println(user, p.Clicks.Get())
//		}
//
//	  - What is read evolves as it would in a job, migrations of the struct included: docs/evolution.md.
//	  - State in the files of a backend, such as a checkpoint of Pebble, is read if the program imports the backend: _ "github.com/weirstream/weir/state/pebble".
//	  - A snapshot that is read is not changed, and a savepoint that is written is new, self-contained and complete, or not there.
//	  - What a [Writer] is not told to change it copies byte for byte.
//	  - Reading needs memory for one key group at a time, changing for the keyed state of one subtask, and what is made from nothing is held
//	    until it is written.
//
// Nothing here is safe for concurrent use.
package savepoint
