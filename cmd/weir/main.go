// Command weir looks into what jobs keep on disk. It needs no job's program. weir help lists what it can do.
package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/weirstream/weir/internal/cluster/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := cli.Run(ctx, os.Args[1:], cli.IO{Stdout: os.Stdout, Stderr: os.Stderr})
	stop()
	os.Exit(int(code))
}
