package cli

import (
	"runtime/debug"
	"testing"
)

// TestBuild shows what is said of a build, as far as it knows where it comes from.
func TestBuild(t *testing.T) {
	from := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	revision, when := debug.BuildSetting{Key: "vcs.revision", Value: "5f0c1d"}, debug.BuildSetting{Key: "vcs.time", Value: "2026-11-22T01:00:00Z"}
	for want, info := range map[string]*debug.BuildInfo{
		"of unknown version": from(""),
		"v1.2.3":             from("v1.2.3", debug.BuildSetting{Key: "CGO_ENABLED", Value: "0"}),
		"(devel), revision 5f0c1d of 2026-11-22T01:00:00Z, changed since": from("(devel)", revision, when, debug.BuildSetting{Key: "vcs.modified", Value: "true"}),
		"v1.2.3, revision 5f0c1d": from("v1.2.3", revision, debug.BuildSetting{Key: "vcs.modified", Value: "false"}),
	} {
		if got := build(info); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
