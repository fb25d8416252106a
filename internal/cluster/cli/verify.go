package cli

import (
	"context"
	"flag"
	"fmt"

	"github.com/weirstream/weir/internal/inspect"
)

func declareVerify(*flag.FlagSet) func(context.Context, string, IO) error {
	return verify
}

// verify prints a line for each problem, and then how much was read.
func verify(ctx context.Context, path string, io IO) error {
	v, err := inspect.Verify(ctx, io.FS, path)
	for _, p := range v.Problems {
		fmt.Fprintln(io.Stdout, p)
	}
	if err != nil {
		return err
	}
	if v.Line != "" {
		fmt.Fprintf(io.Stdout, "%s: the record of job line %q, in which it remembers how to go on: %s\n", path, v.Line, count(len(v.Problems), "problem"))
		return nil
	}
	fmt.Fprintf(io.Stdout, "%s: %s with %d bytes of state and %s read, %s", path,
		count(v.Checkpoints, "checkpoint"), v.Bytes, count(v.Lines, "job line"), count(len(v.Problems), "problem"))
	if v.Unfinished > 0 {
		fmt.Fprintf(io.Stdout, "; %s never completed", count(v.Unfinished, "checkpoint"))
	}
	if v.Deleted > 0 {
		fmt.Fprintf(io.Stdout, "; %s deleted meanwhile", count(v.Deleted, "checkpoint"))
	}
	fmt.Fprintln(io.Stdout)
	switch {
	case v.Damaged():
		return errDamage
	case len(v.Problems) > 0:
		return errUnknown
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
