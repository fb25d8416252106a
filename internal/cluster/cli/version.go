package cli

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/weirstream/weir/internal/inspect"
)

func declareVersion(*flag.FlagSet) func(context.Context, string, IO) error {
	return func(_ context.Context, _ string, io IO) error {
		info, ok := debug.ReadBuildInfo()
		if !ok {
			info = &debug.BuildInfo{} // it was built without module support
		}
		fmt.Fprintf(io.Stdout, "weir %s\n", build(info))
		fmt.Fprintf(io.Stdout, "built with %s for %s-%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
		for _, f := range inspect.Formats() {
			fmt.Fprintf(io.Stdout, "writes %s in version %d, and reads it from version 1 on\n", f.Name, f.Version)
		}
		return nil
	}
}

// build says what was built: the module's version, and from which revision if the build knows it.
func build(info *debug.BuildInfo) string {
	text := info.Main.Version
	if text == "" {
		text = "of unknown version"
	}
	vcs := map[string]string{}
	for _, s := range info.Settings {
		vcs[s.Key] = s.Value
	}
	if vcs["vcs.revision"] == "" {
		return text
	}
	text += ", revision " + vcs["vcs.revision"]
	if vcs["vcs.time"] != "" {
		text += " of " + vcs["vcs.time"]
	}
	if vcs["vcs.modified"] == "true" {
		text += ", changed since"
	}
	return text
}
