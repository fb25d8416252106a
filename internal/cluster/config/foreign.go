package config

import "strings"

// foreignPrefixes begin Flink's keys that arrange its processes, its memory, its class loading or its other front ends.
// Leaving them out changes neither what a job computes nor what survives a failure, so a configuration made for Flink may
// keep them. A key that promises something is not here.
var foreignPrefixes = []string{
	"akka.", "blob.", "classloader.", "client.", "cluster.", "containerized.", "env.", "external-resource", "heartbeat.",
	"historyserver.", "io.", "jobmanager.", "jobstore.", "kubernetes.", "mesos.", "metrics.", "parent.first.classes",
	"pekko.", "plugin.", "process.", "python.", "query.server.", "queryable-state.", "resourcemanager.", "rest.", "rpc.",
	"slot.", "slotmanager.", "sql-client.", "sql-gateway.", "state.backend.forst.", "state.backend.rocksdb.", "table.",
	"taskmanager.", "web.", "yarn.", "$internal.",
}

// laterPrefixes begin Flink's keys that change what a job computes, who may read it or what survives a failure. To go on
// without them would be to break a promise. A key of a section that we declare in full is not here: it does not exist.
var laterPrefixes = []string{
	"azure.", "dstl.", "execution.attached", "execution.batch", "execution.buffer-timeout", "execution.runtime-mode",
	"execution.shutdown", "execution.sorted", "execution.target", "fine-grained", "fs.", "gs.", "high-availability", "job.",
	"pipeline.", "s3.", "s3a.", "security.", "task.",
}

func isForeign(key string) bool { return hasAnyPrefix(key, foreignPrefixes) }

func isLater(key string) bool { return hasAnyPrefix(key, laterPrefixes) }

func hasAnyPrefix(key string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}
