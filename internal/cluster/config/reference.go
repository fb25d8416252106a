package config

import (
	"fmt"
	"slices"
	"strings"
)

// chapter is a part of the reference page: the options whose key begins with one of the prefixes.
type chapter struct {
	title    string
	prefixes []string
}

// chapters are in the order of the page. An option belongs to the first that fits; the last fits all.
var chapters = []chapter{
	{"Checkpoints", []string{"execution.checkpointing."}},
	{"Checkpoints, in code only", []string{codeOnly}},
	{"Recovery", []string{"execution.state-recovery."}},
	{"Restart", []string{restartPrefix, "jobmanager.execution."}},
	{"State", []string{"state."}},
	{"Stores", []string{"s3.", "gs.", "fs.", "hdfs."}},
	{"Runtime", []string{""}},
}

const referenceHead = `<!-- Generated from the declarations in internal/cluster/config by "go generate ./internal/cluster/config". Do not edit. -->

# Configuration

## Where a value comes from

The later wins:

1. the default;
2. the site's file, named by ` + "`--config`" + `: YAML whose keys may be nested or dotted. A file called ` + "`flink-conf.yaml`" + ` is in the old
   format, one ` + "`key: value`" + ` on each line;
3. the job's program: ` + "`j.Checkpoint(checkpoint.Every(10*time.Second))`" + `, or any option with ` + "`checkpoint.Set(key, value)`" + `;
4. an environment variable: ` + "`WEIR_`" + ` and the key in upper case with ` + "`_`" + ` for ` + "`.` and `-`" + `, such as
   ` + "`WEIR_EXECUTION_CHECKPOINTING_INTERVAL=30s`" + `. An empty variable counts as not set;
5. the command line: ` + "`-D execution.checkpointing.interval=30s`" + `. Of a repeated flag the last wins.

Old names still work and are pointed out. In one place an option's own name wins over an old one; between places the later
place wins, whichever name it uses. An unknown key, a value that cannot be read and values that contradict each other stop the
start, all named at once. So does an option that is not available yet, unless it is set to its default: nothing is accepted
and ignored. Keys that only arrange Flink's own processes (` + "`env.java.*`, `jobmanager.memory.*`, `taskmanager.*`, `kubernetes.*`" + ` ...)
are listed in one warning.

## How a value is written

| type | form |
|---|---|
| duration | a whole number and a unit: ` + "`d`, `h`, `min` (or `m`), `s`, `ms`, `us`, `ns`" + `, or their words (` + "`10 minutes`" + `); a bare number is milliseconds |
| size | a whole number and a unit: ` + "`b`, `kb`, `mb`, `gb`, `tb` (or `k`, `m`, `g`, `t`)" + `, base 1024; a bare number is bytes |
| int, long | a whole number of 32 or 64 bits |
| float | a number such as ` + "`1.5`" + ` |
| bool, names | in any case |
| list of directories | separated by ` + "`,` or `:`" + `, or a YAML sequence |
`

// Reference returns the text of docs/reference/config.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	members := make([][]*declaration, len(chapters))
	for _, d := range options() {
		i := slices.IndexFunc(chapters, func(c chapter) bool { return hasAnyPrefix(d.key, c.prefixes) })
		members[i] = append(members[i], d)
	}
	for i, c := range chapters {
		fmt.Fprintf(&b, "\n## %s\n\n", c.title)
		b.WriteString("| key | type | default | available | meaning | old names |\n|---|---|---|---|---|---|\n")
		for _, d := range members[i] {
			b.WriteString(d.row())
		}
	}
	return b.String()
}

func (d *declaration) row() string {
	def := d.def
	if def != "none" {
		def = "`" + def + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s |\n", d.key, d.typ, def, d.available, d.doc, codeList(d.aliases))
}
