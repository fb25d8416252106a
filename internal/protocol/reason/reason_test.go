package reason

import "testing"

// TestFacts shows that each reason has a name of its own, by which Parse finds it, and a text; and which ones count, as documented.
func TestFacts(t *testing.T) {
	counted := map[Reason]bool{
		IOException: true, CheckpointAsyncException: true, CheckpointExpired: true, CheckpointDeclined: true, FinalizeCheckpointFailure: true,
	}
	for r := range Reason(numReasons) {
		if got, ok := Parse(r.String()); !ok || got != r {
			t.Errorf("Parse(%q) = %v, %v", r, got, ok)
		}
		if r.Message() == "" {
			t.Errorf("%v has no message", r)
		}
		if r.Counted() != counted[r] {
			t.Errorf("%v: counted %v, want %v", r, r.Counted(), counted[r])
		}
		if want := r != None && r <= BlockingOutputExist; r.PreFlight() != want {
			t.Errorf("%v: pre-flight %v, want %v", r, r.PreFlight(), want)
		}
	}
	if _, ok := Parse("CHECKPOINT_LOST"); ok {
		t.Error("Parse found a reason that does not exist")
	}
	if r := Reason(200); r.String() != "UNKNOWN" || r.Counted() || r.PreFlight() {
		t.Errorf("an unknown reason is %v", r)
	}
}

// TestWith shows that there is always a text that says why, and that nothing is said twice.
func TestWith(t *testing.T) {
	const expired = "the checkpoint did not complete within its timeout"
	for cause, want := range map[string]string{"": expired, expired: expired, "no answer from a (1/2)": expired + ": no answer from a (1/2)"} {
		if got := CheckpointExpired.With(cause); got != want {
			t.Errorf("With(%q) = %q, want %q", cause, got, want)
		}
	}
}
