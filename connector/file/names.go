package file

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"

	"github.com/weirstream/weir/sink"
)

// partName is the name of an output file. It says by whom and when the file was made, so that what to do with it can be decided from a
// listing. All but the checkpoint stay the same for the life of a file, and no two files have them in common.
type partName struct {
	line       string // lineTag of the job line
	epoch      int64
	run        string // "a" and the attempt of a writer, or "r" and a random number if Recover made it
	subtask    int
	number     int
	extension  string
	checkpoint int64 // that the file was prepared for; 0 while it is in progress
}

// lineTag stands for a line's id in names. The id itself is in the journal.
func lineTag(line sink.Line) string {
	sum := sha256.Sum256([]byte(line.ID))
	return hex.EncodeToString(sum[:4])
}

// hidden is the name of the file until it is committed.
func (n partName) hidden() string {
	return fmt.Sprintf(".part-%s-e%d%s-s%d-%d%s", n.line, n.epoch, n.run, n.subtask, n.number, n.extension)
}

// committed is the name of the file from then on.
func (n partName) committed() string {
	return fmt.Sprintf("part-%s-e%d%s-c%d-s%d-%d%s", n.line, n.epoch, n.run, n.checkpoint, n.subtask, n.number, n.extension)
}

// inProgress returns the name without the checkpoint, which is the same for a file before and after it is committed.
func (n partName) inProgress() partName {
	n.checkpoint = 0
	return n
}

var partPattern = regexp.MustCompile(`^(\.?)part-([0-9a-f]{8})-e(\d+)([ar][0-9a-f]+)-(?:c(\d+)-)?s(\d+)-(\d+)(\.[a-z]+)$`)

// parsePart reads either name of an output file. It returns false for any other.
func parsePart(name string) (partName, bool) {
	m := partPattern.FindStringSubmatch(name)
	if m == nil {
		return partName{}, false
	}
	n := partName{line: m[2], run: m[4], extension: m[8]}
	var errs [4]error
	n.epoch, errs[0] = strconv.ParseInt(m[3], 10, 64)
	n.subtask, errs[1] = strconv.Atoi(m[6])
	n.number, errs[2] = strconv.Atoi(m[7])
	if m[5] != "" {
		n.checkpoint, errs[3] = strconv.ParseInt(m[5], 10, 64)
	}
	if errs != [4]error{} {
		return partName{}, false
	}
	if n.checkpoint != 0 {
		return n, n.committed() == name
	}
	return n, n.hidden() == name
}
