package console

import (
	"math"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/element"
)

// Numbers are written so that they can be read at a glance and keep their width from one redraw to the next.
func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1,000"}, {count(1234567), "1,234,567"}, {count(-1234), "-1,234"},
		{count(math.MinInt64), "-9,223,372,036,854,775,808"},
		{rate(0), "0"}, {rate(0.25), "0.25"}, {rate(7.2), "7.20"}, {rate(12), "12"}, {rate(12.34), "12.3"}, {rate(120), "120"}, {rate(999.4), "999"},
		{rate(999.6), "1.00k"}, {rate(1250), "1.25k"}, {rate(20000), "20.0k"}, {rate(123456), "123k"}, {rate(999600), "1.00M"}, {rate(3.1e9), "3.10G"},
		{size(0), "0 B"}, {size(1023), "1023 B"}, {size(9844), "9.6 KiB"}, {size(268 << 20), "268 MiB"}, {size(1 << 40), "1.0 TiB"}, {size(1 << 60), "1048576 TiB"},
		{span(0), "0ms"}, {span(15 * time.Millisecond), "15ms"}, {span(4250 * time.Millisecond), "4.2s"}, {span(59 * time.Second), "59s"},
		{span(200 * time.Second), "3m20s"}, {span(time.Hour), "1h"}, {span(65 * time.Minute), "1h5m"}, {span(52 * time.Hour), "2d4h"}, {span(-time.Minute), "-1m"},
		{eventTime(element.NoTime), "-"}, {eventTime(element.MaxTime), "end of data"}, {eventTime(0), "1970-01-01 00:00:00"},
		{plural(1, "restart"), "1 restart"}, {plural(0, "restart"), "0 restarts"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// Text from outside cannot move the cursor or break a line, and is cut by letters.
func TestText(t *testing.T) {
	if got := clean("a\x1b[2Jb\tc\nd"); got != "a [2Jb c" {
		t.Errorf("clean: %q", got)
	}
	for _, c := range []struct {
		text    string
		columns int
		want    string
	}{{"straße", 6, "straße"}, {"straße", 5, "stra…"}, {"straße", 1, "…"}, {"straße", 0, ""}, {"", 0, ""}} {
		if got := cut(c.text, c.columns); got != c.want {
			t.Errorf("cut(%q, %d) = %q, want %q", c.text, c.columns, got, c.want)
		}
	}
}
