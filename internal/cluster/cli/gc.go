package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/weirstream/weir/internal/storage/garbage"
)

func declareGC(flags *flag.FlagSet) func(context.Context, string, IO) error {
	remove := flags.Bool("delete", false, "delete it; without, only say what and why")
	takeOver := flags.Bool("take-over", false, "on a store without locks: end runs that have not said that they ended, which have been killed, or fail then")
	return func(ctx context.Context, dir string, io IO) (err error) {
		found, err := garbage.Search{FS: io.FS, Dir: dir, TakeOver: *takeOver, Now: time.Now()}.Find(ctx)
		if err != nil {
			return refusal{err}
		}
		defer func() { err = errors.Join(err, found.Close()) }()
		var bytes int64
		for _, i := range found.Items {
			fmt.Fprintf(io.Stdout, "%s: %s (%d bytes)\n", i.Path, i.Why, i.Bytes)
			bytes += i.Bytes
		}
		switch {
		case len(found.Items) == 0:
			fmt.Fprintf(io.Stdout, "%s: everything is needed, or cannot be proved not to be\n", dir)
			return nil
		case !*remove:
			fmt.Fprintf(io.Stdout, "%s with %d bytes that nobody needs; nothing was deleted: that takes --delete\n", count(len(found.Items), "thing"), bytes)
			return nil
		}
		if err := found.Delete(ctx); err != nil {
			return fmt.Errorf("not all could be deleted; what is left is found again: %w", err)
		}
		fmt.Fprintf(io.Stdout, "%s with %d bytes deleted\n", count(len(found.Items), "thing"), bytes)
		return nil
	}
}
