package state

import "github.com/weirstream/weir/internal/backend/heap"

// Migration turns values of a state that a snapshot holds into those of its present type. It is made by [Migrate].
type Migration = heap.Migration

// Migrate returns a migration of the state of that name, for what does not evolve by itself (docs/evolution.md): another unit, two fields
// made of one, a number made of a text. A processor has its migrations in a method:
//
//	func (*Totals) Migrations() []state.Migration {
//		return []state.Migration{
//			state.Migrate("total", func(cents int64) (Money, error) { return Money{cents, "EUR"}, nil }),
//		}
//	}
//
// f is called during a restore, once for each value, each value of a map and each element of a list that was stored as Old, by several
// goroutines at once; what was stored in the form of New is left alone, so that a migration may stay in the program. A value of a key that was
// never set stays so without a call. An error or a panic of f refuses the restore, before the job has written anything, and names the key.
//
// The last migration of a state ends with the type that it has in the program. There may be several, in the order of the program's versions,
// each beginning with the type that the one before ends with; then a snapshot of any of these versions is read.
func Migrate[Old, New any](state string, f func(old Old) (New, error)) Migration {
	return heap.NewMigration(state, f)
}
