package console

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weirstream/weir/internal/element"
)

// count writes a number with a comma at each thousand: 1,234,567.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// rate writes a number per second with three digits: 7.2, 120, 20.0k, 1.25M.
func rate(perSecond float64) string {
	n, unit := perSecond, ""
	for _, next := range []string{"k", "M", "G"} {
		if n < 999.5 {
			break
		}
		n, unit = n/1000, next
	}
	digits := 0
	switch {
	case n < 9.995 && (unit != "" || n != math.Trunc(n)):
		digits = 2
	case n < 99.95 && (unit != "" || n != math.Trunc(n)):
		digits = 1
	}
	return strconv.FormatFloat(n, 'f', digits, 64) + unit
}

// size writes a number of bytes: 812 B, 9.6 KiB, 268 MiB.
func size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f /= 1024; f < 999.5 {
			break
		}
	}
	if f < 99.95 {
		return fmt.Sprintf("%.1f %s", f, unit)
	}
	return fmt.Sprintf("%.0f %s", f, unit)
}

// span writes a length of time in its one or two largest units: 15ms, 4.2s, 3m20s, 1h5m, 2d4h.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < time.Millisecond:
		return "0ms"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Truncate(100*time.Millisecond).Seconds(), 'f', -1, 64) + "s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return two(d, time.Minute, "m", time.Second, "s")
	case d < day:
		return two(d, time.Hour, "h", time.Minute, "m")
	}
	return two(d, day, "d", time.Hour, "h")
}

func two(d, large time.Duration, largeName string, small time.Duration, smallName string) string {
	text := fmt.Sprintf("%d%s", d/large, largeName)
	if rest := d % large / small; rest > 0 {
		text += fmt.Sprintf("%d%s", rest, smallName)
	}
	return text
}

// eventTime writes a watermark.
func eventTime(at int64) string {
	switch at {
	case element.NoTime:
		return "-"
	case element.MaxTime:
		return "end of data"
	}
	return time.UnixMilli(at).UTC().Format("2006-01-02 15:04:05")
}

// plural writes a number of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// clean returns the first line of a text, without control characters.
func clean(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	return printable(text)
}

// printable replaces control characters, which would move the cursor, by spaces.
func printable(text string) string { return harmless(text, "") }

// harmless replaces control characters but for some.
func harmless(text, but string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && !strings.ContainsRune(but, r) {
			return ' '
		}
		return r
	}, text)
}

// width returns how many columns a text takes. A letter is taken to be one wide.
func width(text string) int { return utf8.RuneCountInString(text) }

// cut shortens a text to a number of columns.
func cut(text string, columns int) string {
	if width(text) <= columns {
		return text
	}
	if columns < 1 {
		return ""
	}
	return string([]rune(text)[:columns-1]) + "…"
}
