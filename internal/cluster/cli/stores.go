package cli

import (
	"flag"
	"os"
	"strings"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/storage/byscheme"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/storage"
)

// settings are the options that a command is given for the stores it may meet: as a job is, but for what is in a program.
type settings struct {
	operator *config.Layer
	file     string
}

func declareSettings(flags *flag.FlagSet) *settings {
	s := &settings{operator: config.Operator()}
	flags.Func("D", "set an option of a store as `key=value`: s3.endpoint, for example", func(arg string) error {
		s.operator.Define(arg)
		return nil
	})
	flags.StringVar(&s.file, "config", "", "read options of stores from this `file`: the job's config.yaml")
	return s
}

// open returns the file system for paths of all kinds.
func (s *settings) open() (storage.FS, error) {
	layers := []*config.Layer{config.Environment(os.Environ()), s.operator}
	if s.file != "" {
		layers = append(layers, config.File(s.file))
	}
	c, _, err := config.Load(layers...)
	if err != nil {
		return nil, usageError{err}
	}
	return byscheme.New(fs.Local{}, c.Storage()), nil
}

// splitDefines writes -Dkey=value as -D key=value, as package flag wants it.
func splitDefines(args []string) []string {
	var out []string
	for _, arg := range args {
		if rest, ok := strings.CutPrefix(arg, "-D"); ok && strings.Contains(rest, ".") && !strings.HasPrefix(rest, "=") {
			out = append(out, "-D", rest)
			continue
		}
		out = append(out, arg)
	}
	return out
}
