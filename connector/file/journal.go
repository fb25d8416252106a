package file

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/weirstream/weir/sink"
)

// journalName is the hidden file in an output folder that says whose it is and what was done to it. docs/formats/file-sink.md describes
// its lines.
const journalName = ".weir-journal"

const (
	journalMagic = "weir-file-sink 1"
	// journalCommits is how many commits, and copies, a journal keeps when it is rewritten. Commits serve only to notice that somebody
	// took a committed file away, since one that is there is found by its name; copies serve only checkpoints that are still retained.
	journalCommits = 10000
)

// journal is the content of the journal file: whose the folder is, and what a kill may have left half done.
type journal struct {
	line    sink.Line
	commits map[partName]partName // files committed here, also those about to be, by their names while in progress
	moves   []move                // begun and not known to be done
	asides  []aside               // moves that are done
	copies  []copied              // files that Recover has gone on with under another name
}

// aside is a folder with files that a run has moved aside. They may be wanted back: by a job that goes on from a checkpoint of an
// earlier run after all.
type aside struct {
	into  string
	epoch int64 // of the run that decided to move them
}

// copied says that the first bytes of a file in progress are also in another. A checkpoint that is older than the copy may still refer
// to the original when that is gone.
type copied struct {
	from, to string // hidden names
	size     int64
}

// relatives returns the hidden names of all other files that are known to begin with the bytes of one: what it was copied from, and what else
// was copied from that, or from it.
func (j *journal) relatives(name string) map[string]bool {
	family := map[string]bool{name: true}
	for size := 0; size < len(family); {
		size = len(family)
		for _, c := range j.copies {
			if family[c.from] || family[c.to] {
				family[c.from], family[c.to] = true, true
			}
		}
	}
	delete(family, name)
	return family
}

// move is the intent to move files aside, into a folder below the output folder.
type move struct {
	aside
	names []string
}

// committed takes in a commit. A file can be about to be committed, become one in progress again because the job went back, and be
// committed later under another checkpoint: the last one counts.
func (j *journal) committed(n partName) {
	if j.commits == nil {
		j.commits = map[partName]partName{}
	}
	j.commits[n.inProgress()] = n
}

// newestCommits returns the commits worth keeping, in order of their checkpoints.
func (j *journal) newestCommits() []partName {
	names := slices.SortedFunc(maps.Values(j.commits), func(a, b partName) int {
		return cmp.Or(cmp.Compare(a.checkpoint, b.checkpoint), strings.Compare(a.committed(), b.committed()))
	})
	return names[max(0, len(names)-journalCommits):]
}

func (j *journal) encode() []byte {
	b := appendLine(nil, journalMagic)
	b = appendLine(b, "line", strconv.Quote(j.line.ID), strconv.Quote(j.line.Name))
	b = appendLine(b, "epoch", strconv.FormatInt(j.line.Epoch, 10))
	for _, n := range j.newestCommits() {
		b = appendLine(b, "commit", n.committed())
	}
	for _, c := range j.copies[max(0, len(j.copies)-journalCommits):] {
		b = c.appendTo(b)
	}
	for _, m := range j.moves {
		b = m.appendTo(b)
	}
	for _, a := range j.asides {
		b = a.appendTo(b)
	}
	return b
}

func (a aside) appendTo(b []byte) []byte {
	return appendLine(b, "moved", strconv.FormatInt(a.epoch, 10), a.into)
}

func (c copied) appendTo(b []byte) []byte {
	return appendLine(b, "copy", c.from, c.to, strconv.FormatInt(c.size, 10))
}

func (m move) appendTo(b []byte) []byte {
	for _, name := range m.names {
		b = appendLine(b, "move", strconv.FormatInt(m.epoch, 10), m.into, name)
	}
	return b
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendLine appends words with a checksum behind them.
func appendLine(b []byte, words ...string) []byte {
	text := strings.Join(words, " ")
	return fmt.Appendf(b, "%s %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
}

// parseLine returns the text of a line if its checksum is right.
func parseLine(line string) (string, bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return "", false
	}
	sum, err := strconv.ParseUint(line[i+1:], 16, 32)
	return line[:i], err == nil && len(line)-i == 9 && crc32.Checksum([]byte(line[:i]), castagnoli) == uint32(sum)
}

var errJournal = errors.New("the journal of the output folder is damaged")

const journalRemedy = "put a whole " + journalName + " back, or move the folder away and start anew"

// decodeJournal reads a journal. What a kill has cut off at the end was not yet relied upon and is left out.
func decodeJournal(data []byte) (*journal, error) {
	j := &journal{}
	for number := 1; len(data) > 0; number++ {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		text, ok := parseLine(string(line))
		if number > 3 && len(rest) == 0 && (!whole || !ok) {
			return j, nil
		}
		if !ok || !j.parse(number, text) {
			return nil, fmt.Errorf("%w: line %d: %q; %s", errJournal, number, line, journalRemedy)
		}
		data = rest
	}
	if j.line.Epoch == 0 {
		return nil, fmt.Errorf("%w: it is cut short; %s", errJournal, journalRemedy)
	}
	return j, nil
}

// parse takes in one line. The first three say whose the folder is.
func (j *journal) parse(number int, text string) bool {
	verb, rest, _ := strings.Cut(text, " ")
	switch {
	case number == 1:
		return text == journalMagic
	case number == 2:
		return verb == "line" && j.parseLine(rest)
	case number == 3:
		var err error
		j.line.Epoch, err = strconv.ParseInt(rest, 10, 64)
		return verb == "epoch" && err == nil && j.line.Epoch > 0
	}
	switch verb {
	case "commit":
		n, ok := parsePart(rest)
		if !ok || n.checkpoint == 0 {
			return false
		}
		j.committed(n)
	case "move", "moved":
		var a aside
		var name string
		if _, err := fmt.Sscan(rest, &a.epoch, &a.into, &name); err != nil && verb == "move" || a.into == "" {
			return false
		}
		if verb == "moved" {
			j.moved(a)
		} else {
			j.moving(a, name)
		}
	case "copy":
		var c copied
		if _, err := fmt.Sscan(rest, &c.from, &c.to, &c.size); err != nil {
			return false
		}
		j.copies = append(j.copies, c)
	default:
		return false
	}
	return validNames(strings.Fields(rest))
}

func (j *journal) parseLine(rest string) bool {
	id, err := strconv.QuotedPrefix(rest)
	if err != nil || len(rest) < len(id)+1 {
		return false
	}
	var errs [2]error
	j.line.ID, errs[0] = strconv.Unquote(id)
	j.line.Name, errs[1] = strconv.Unquote(rest[len(id)+1:])
	return errs == [2]error{}
}

// validNames keeps a damaged journal from leading out of the output folder.
func validNames(names []string) bool {
	for _, name := range names {
		if name != filepath.Base(name) || name == "." || name == ".." {
			return false
		}
	}
	return len(names) > 0
}

func (j *journal) moving(a aside, name string) {
	if n := len(j.moves); n > 0 && j.moves[n-1].aside == a {
		j.moves[n-1].names = append(j.moves[n-1].names, name)
		return
	}
	j.moves = append(j.moves, move{a, []string{name}})
}

func (m move) forgetIn(j *journal) {
	for _, name := range m.names {
		if n, ok := parsePart(name); ok {
			delete(j.commits, n.inProgress())
		}
	}
}

func (j *journal) isMoving(name string) bool {
	return slices.ContainsFunc(j.moves, func(m move) bool { return slices.Contains(m.names, name) })
}

// moved ends a move: its files are no longer where they were committed.
func (j *journal) moved(a aside) {
	for _, m := range j.moves {
		if m.aside == a {
			m.forgetIn(j)
		}
	}
	j.moves = slices.DeleteFunc(j.moves, func(m move) bool { return m.aside == a })
	j.asides = append(j.asides, a)
}

// journalFile keeps a journal on a disk.
type journalFile struct {
	journal
	disk Disk
	dir  string
	file DiskFile    // open for appending; nil: not claimed
	torn bool        // an append has failed: the file may end in half a line
	mine fs.FileInfo // of the file that this process has put there
}

// readJournal returns the journal of a folder, nil if there is none.
func readJournal(disk Disk, dir string) (*journal, error) {
	path := filepath.Join(dir, journalName)
	f, err := disk.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, diskError("read", path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, diskError("read", path, err)
	}
	return decodeJournal(data)
}

// rewrite replaces the journal file by one with the present content, in one durable step. It is also how a run takes the folder
// over: the one before finds that the file is not its own any more.
func (j *journalFile) rewrite() error {
	path := filepath.Join(j.dir, journalName)
	temporary := path + ".new"
	if err := j.disk.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError("remove", temporary, err)
	}
	f, err := j.disk.Create(temporary)
	if err != nil {
		return diskError("create", temporary, err)
	}
	if err := writeDurably(f, j.encode()); err != nil {
		return errors.Join(diskError("write", temporary, err), f.Close())
	}
	if err := j.disk.Rename(temporary, path); err != nil {
		return errors.Join(diskError("rename", temporary, err), f.Close())
	}
	if err := j.close(); err != nil {
		return diskError("close", path, err)
	}
	j.file, j.torn = f, false
	if j.mine, err = j.disk.Stat(path); err != nil {
		return diskError("look at", path, err)
	}
	return diskError("make durable", j.dir, j.disk.SyncDir(j.dir))
}

// append adds lines durably, unless another run has taken the folder over.
func (j *journalFile) append(lines []byte) error {
	if err := j.check(); err != nil {
		return err
	}
	if j.torn {
		if err := j.rewrite(); err != nil {
			return err
		}
	}
	err := writeDurably(j.file, lines)
	j.torn = err != nil
	return diskError("write", filepath.Join(j.dir, journalName), err)
}

// check fails if another run has taken the folder over.
func (j *journalFile) check() error {
	path := filepath.Join(j.dir, journalName)
	now, err := j.disk.Stat(path)
	if err != nil {
		return diskError("look at", path, err)
	}
	if j.file != nil && j.disk.SameFile(now, j.mine) {
		return nil
	}
	return fmt.Errorf("output folder %s: a newer run has taken it over from epoch %d of job %q", j.dir, j.line.Epoch, j.line.Name)
}

func (j *journalFile) close() error {
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

func writeDurably(f DiskFile, data []byte) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}
