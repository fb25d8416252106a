// Package weirtest tests jobs and their steps: one step in virtual time, or a whole job of which anything may fail at any moment.
//
//	func TestSessionClosesAfterGap(t *testing.T) {
//		h := weirtest.Operator(t, &Sessions{Gap: time.Minute}, Click.UserOf)
//		h.SendAt(t0, Click{"ann"})
//		h.SnapshotAndRestore() // must not change the outcome
//		h.Watermark(t0.Add(2 * time.Minute))
//		h.Want(Summary{"ann", 1})
//	}
//
//	func TestSurvivesAnyCrash(t *testing.T) {
//		weirtest.Run(t, build,
//			weirtest.In("clicks", clicks...), weirtest.Want("summaries", summaries...),
//			weirtest.Seeds(200), weirtest.CrashEverywhere(), weirtest.Rescale(2, 3))
//	}
//
// Both run on the test's goroutine, touch no file, and take no longer than they must: when everybody waits, time jumps. Processors have
// to take the time from their context, and chance from a source that begins the same in each run.
package weirtest

// T is what a test is told with. A *testing.T is one, and so is a *testing.B.
type T interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}
