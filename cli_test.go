package weir

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/discard"
	"github.com/weirstream/weir/connector/file"
	"github.com/weirstream/weir/internal/script"
	"github.com/weirstream/weir/internal/storage/linefile"
)

// The scripts are what a user types and sees. Each plays in an empty directory; its commands are
//
//	run <program> <argument>...   runs one of the programs below: exit status, then stderr
//	write <file> <word>...        writes a file with a word on each line, _ for a space
//	hold <program>                runs it in another process, as far as its lock goes
//	set <variable> <value>        changes the environment
//
// Of the log only the first line, warnings and where a job goes on from are shown.
func TestCommandLine(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the programs interrupt themselves")
	}
	files, err := filepath.Abs("testdata/cli")
	if err != nil {
		t.Fatal(err)
	}
	script.Run(t, files+"/*.txt", func() script.Player {
		ready := false
		return func(t *testing.T, words []string) []string {
			if !ready {
				t.Chdir(t.TempDir())
				ready = true
			}
			return play(t, words)
		}
	})
}

func play(t *testing.T, words []string) []string {
	switch words[0] {
	case "run":
		var b bytes.Buffer
		d := newDisplay(words[1], &b)
		d.out = &b
		code := run(d, programs[words[1]], words[2:])
		return append([]string{fmt.Sprintf("exit status %d", int(code))}, shown(b.String())...)
	case "write":
		if err := os.WriteFile(words[1], []byte(strings.ReplaceAll(strings.Join(words[2:], "\n"), "_", " ")+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	case "hold":
		lock, err := linefile.TakeLock("cp", words[1], time.Now())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { lock.Release() })
	case "set":
		t.Setenv(words[1], words[2])
	default:
		t.Fatalf("there is no command %q", words[0])
	}
	return nil
}

// programs of the scripts.
var programs = map[string]func(*Job) error{
	"words":  words,
	"ticks":  ticks,
	"tally":  tally,
	"broken": broken,
	"taken":  taken,
	"absent": func(*Job) error { return errors.New("no dictionary for this language") },
	"flags":  flags,
}

// words counts the words of a file. It can be made to fail at one.
func words(j *Job) error {
	a := j.Args()
	input, output := a.String("input", "words.txt", "file with a word on each line"), a.String("output", "counts", "folder for the counts")
	failAt := a.String("fail-at", "", "word to fail at")
	j.Checkpoint(checkpoint.Every(time.Hour), checkpoint.Dir("cp"), checkpoint.KeepOnFailure())
	j.Set("restart-strategy.type", "none")
	checked := TryMap(From(j, "lines", file.Lines(input)), func(w string) (string, error) {
		if w == failAt {
			return w, fmt.Errorf("%q is no word", w)
		}
		return w, nil
	})
	To(Count(KeyBy(checked, Self), "counts"), "out", file.CSV[KV[string, int64]](output))
	return nil
}

// ticks does not end by itself, but is interrupted at its tenth tick.
func ticks(j *Job) error {
	j.Checkpoint(checkpoint.Every(time.Hour), checkpoint.Dir("cp"))
	To(interrupted(thousandPerSecond(j)), "out", discard.Sink[int64]())
	return nil
}

// interrupted interrupts the process at the tenth record. In the last task of a job all others run by then, so that the stop takes a checkpoint.
func interrupted[T any](in Stream[T]) Stream[T] {
	n := 0
	return TryMap(in, func(r T) (T, error) {
		if n++; n != 10 {
			return r, nil
		}
		p, err := os.FindProcess(os.Getpid())
		if err != nil {
			return r, err
		}
		return r, p.Signal(os.Interrupt)
	})
}

func thousandPerSecond(j *Job) Stream[int64] {
	return From(j, "ticks", datagen.Source(datagen.Unbounded, func(i int64) int64 { return i }, datagen.Rate(1000)))
}

// tally counts ticks, by a key of another type or under another name if it is told to.
func tally(j *Job) error {
	j.Checkpoint(checkpoint.Every(time.Hour), checkpoint.Dir("cp"))
	if j.Args().Bool("text", false, "count by text") {
		To(Count(KeyBy(thousandPerSecond(j), func(int64) string { return "" }), "tally"), "out", discard.Sink[KV[string, int64]]())
		return nil
	}
	name := "tally"
	if j.Args().Bool("other", false, "count under another name") {
		name = "telly"
	}
	To(interrupted(Count(KeyBy(thousandPerSecond(j), func(int64) int64 { return 0 }), name)), "out", discard.Sink[KV[int64, int64]]())
	return nil
}

// broken has two steps of one name.
func broken(j *Job) error {
	lines := From(j, "lines", file.Lines("words.txt"))
	To(lines, "out", file.Lines("a"))
	To(lines, "out", file.Lines("b"))
	return nil
}

// taken declares flags that all jobs have.
func taken(j *Job) error {
	j.Args().Int("p", 1, "")
	j.Args().String("Dark.mode", "", "")
	return nil
}

// flags shows what it is given, as a mistake, so that nothing is run.
func flags(j *Job) error {
	a := j.Args()
	return fmt.Errorf("text %q number %d rate %v verbose %v wait %v", a.String("text", "", "any text"), a.Int("number", 7, "how many"),
		a.Float("rate", 0.5, "how fast"), a.Bool("verbose", false, "tell more"), a.Duration("wait-for-the-others", 0, "how long"))
}

// shown returns what the scripts show of an output: without most of the log, and without what is never the same twice.
func shown(output string) (lines []string) {
	first := true
	for l := range strings.Lines(output) {
		logged := strings.HasPrefix(l, "time=")
		if logged && !first && !strings.Contains(l, "resumed") && !strings.Contains(l, "level=WARN") && !strings.Contains(l, "level=ERROR") {
			continue
		}
		first = false
		for _, v := range volatile {
			l = v.pattern.ReplaceAllString(l, v.by)
		}
		if l = strings.TrimRight(l, "\n"); l == "" {
			l = "." // a script has no empty outcomes
		}
		lines = append(lines, l)
	}
	return lines
}

var volatile = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`time=\S+ `), ""},
	{regexp.MustCompile(`process \d+`), "process <pid>"},
	{regexp.MustCompile(`on \S+, since`), "on <host>, since"},
	{regexp.MustCompile(`after [\d.]+m?s\b`), "after <time>"},
	{regexp.MustCompile(`[\d.]+ (Ki)?B in \d+m?s`), "<size> in <time>"},
	{regexp.MustCompile(`[0-9a-f]{32}`), "<job>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`), "<date>"},
	{regexp.MustCompile(`^  (ticks|tally|out) +[-\d,]+ +[-\d,]+`), "  $1 <records>"},
	{regexp.MustCompile(`part-[0-9a-f]{8}`), "part-<line>"},
	{regexp.MustCompile(`_before-\w+`), "_before-<date>"},
	{regexp.MustCompile(`/\S*/00\d/`), "<dir>/"},
}
