package backend

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestBatch shows that a batch keeps changes in order, as they were given, and independent of the memory they came in.
func TestBatch(t *testing.T) {
	var b Batch
	for range 2 { // the second time in the memory of the first
		b.Reset()
		k := []byte("key")
		b.Put(k, []byte("value"))
		copy(k, "xxx")
		b.Put([]byte("empty"), nil)
		b.Delete([]byte("gone"))
		b.DeleteRange([]byte("from"), []byte("to"))
		b.PutString([]byte("name"), "long")
		b.PutString([]byte("none"), "")
		var got []string
		for o := range b.All() {
			got = append(got, fmt.Sprintf("%d %s %s %s", o.Kind, o.Key, o.Value, o.End))
		}
		if want := "0 key value |0 empty  |1 gone  |2 from  to|0 name long |0 none  "; strings.Join(got, "|") != want {
			t.Errorf("changes %q, want %q", strings.Join(got, "|"), want)
		}
		if b.Len() != 6 || b.Size() != 35 {
			t.Errorf("%d changes of %d bytes", b.Len(), b.Size())
		}
	}
}

// TestGroupKeys shows that groups in order have keys in order, and that a range of groups is a range of keys.
func TestGroupKeys(t *testing.T) {
	from, to := Groups{3, 255}.Keys()
	for _, c := range []struct {
		group  int
		inside bool
	}{{2, false}, {3, true}, {255, true}, {256, false}, {32767, false}} {
		key := append(GroupKey(c.group), 0xff, 0xff)
		if in := bytes.Compare(from, key) <= 0 && bytes.Compare(key, to) < 0; in != c.inside {
			t.Errorf("group %d in the range: %v", c.group, in)
		}
	}
	if (Groups{1, 5}).Within(Groups{2, 9}) || !(Groups{3, 5}).Within(Groups{3, 5}) {
		t.Error("Within")
	}
}
