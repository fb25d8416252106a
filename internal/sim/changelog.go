package sim

import (
	"maps"
	"strconv"
)

// WaysToLog is how many ways there are in which a job can log the changes of its state.
const WaysToLog = 2 * 2 * 4 * 3 * 2 * 2 * 4

// Changelog returns the options of the changelog for the process that is about to start: whether there is one, and which. It is a matter of the
// seed, under some of which processes with a changelog take turns with others.
func (w *World) Changelog() map[string]string {
	return Changelog(w.chance.made.Log, w.report.Processes)
}

// Changelog returns the options of the changelog in one of the ways in which a job can have one, of which those from 1 on differ, for one of the job's
// processes, the first of which is 1. Way 0 is without.
//
// All intervals are short beside the lives of processes, so that the state is written as a whole while there is a log, and there are logs of several
// pieces.
func Changelog(way, process int) map[string]string {
	if way == 0 {
		return nil
	}
	way--
	one := func(of ...string) string {
		i := way % len(of)
		way /= len(of)
		return of[i]
	}
	set := map[string]string{
		"state.changelog.storage":                       one("filesystem", "memory"),
		"dstl.dfs.base-path":                            one("", "/log"),
		"state.changelog.periodic-materialize.interval": one("15 ms", "3 ms", "60 ms", "-1 ms"),
		"state.changelog.max-failures-allowed":          one("0", "3", "1000"),
		"execution.checkpointing.incremental":           one("false", "true"),
		"weir.storage.retries":                          one("0", ""),
		"dstl.dfs.compression.enabled":                  strconv.FormatBool(process%2 == 0), // so that segments follow each other that are and are not
	}
	maps.DeleteFunc(set, func(_, value string) bool { return value == "" })
	on := one("always", "every other time", "from the third time on", "at first")
	if on == "every other time" && process%2 == 0 || on == "from the third time on" && process < 3 || on == "at first" && process >= 3 {
		return nil
	}
	set["state.changelog.enabled"] = "true"
	return set
}
