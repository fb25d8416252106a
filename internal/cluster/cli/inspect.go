package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/weirstream/weir/internal/inspect"
)

// keysFlag is --keys, --keys=step or --keys=step/state.
type keysFlag struct {
	set  bool
	what string
}

func (k *keysFlag) String() string   { return k.what }
func (k *keysFlag) IsBoolFlag() bool { return true }

// Set takes "true" for the flag without a value, as package flag has it.
func (k *keysFlag) Set(value string) error {
	k.set, k.what = true, value
	if value == "true" {
		k.what = ""
	}
	return nil
}

// selection reads step and state. Names of steps may have slashes, those of states have none.
func (k *keysFlag) selection() (step, state string) {
	if i := strings.LastIndexByte(k.what, '/'); i >= 0 {
		return k.what[:i], k.what[i+1:]
	}
	return k.what, ""
}

// defaultLimit is how many keys of a step are listed unless more are asked for.
const defaultLimit = 100

func declareInspect(flags *flag.FlagSet) func(context.Context, string, IO) error {
	var keys keysFlag
	flags.Var(&keys, "keys", "list the values of all states, or of one `step[/state]`")
	asJSON := flags.Bool("json", false, "write JSON; with --keys one object to a line")
	limit := flags.Int("limit", defaultLimit, "with --keys, list at most `n` keys and elements of each step; 0 for all")
	return func(ctx context.Context, path string, io IO) error {
		if *limit < 0 {
			return usageError{fmt.Errorf("--limit %d is negative", *limit)}
		}
		if keys.set {
			return list(ctx, path, io, &keys, *asJSON, *limit)
		}
		return report(ctx, path, io, *asJSON)
	}
}

func report(ctx context.Context, path string, io IO, asJSON bool) error {
	r, err := inspect.Read(ctx, io.FS, path)
	if err != nil {
		return err
	}
	if !asJSON {
		return r.WriteText(io.Stdout)
	}
	e := json.NewEncoder(io.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

func list(ctx context.Context, path string, io IO, keys *keysFlag, asJSON bool, limit int) error {
	step, state := keys.selection()
	w := bufio.NewWriter(io.Stdout)
	cut, err := inspect.Values(ctx, io.FS, path, inspect.Selection{Step: step, State: state, Limit: limit, JSON: asJSON}, w)
	if no := (*inspect.NoSuchError)(nil); errors.As(err, &no) {
		err = usageError{err}
	}
	if err := errors.Join(err, w.Flush()); err != nil {
		return err
	}
	if cut {
		fmt.Fprintf(io.Stderr, "weir: there is more: these are the first %d of a step; --limit=0 lists all\n", limit)
	}
	return nil
}
