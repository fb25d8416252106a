package storage

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Opener makes the file system of a URL scheme with the options that concern it. It looks at the options and fails if they contradict each
// other, but talks to nobody: it is not known yet which bucket or machine will be asked for. The context is for what it reads locally.
//
// The file system takes whole URLs as paths, such as "s3://bucket/checkpoints/chk-7/_metadata", so that one of them serves all buckets.
type Opener func(ctx context.Context, c Config) (FS, error)

// Config holds options by their keys, as docs/reference/config.md lists them: "s3.endpoint". It does not print its values, since some of
// them are secrets. The zero value is empty. It does not change and may be used concurrently.
type Config struct{ values map[string]string }

// NewConfig returns a Config of these options, which it copies.
func NewConfig(values map[string]string) Config { return Config{maps.Clone(values)} }

// Get returns the value of an option, "" if it has none.
func (c Config) Get(key string) string { return c.values[key] }

// WithPrefix returns the options whose keys begin with prefix, by the rest of their keys.
func (c Config) WithPrefix(prefix string) map[string]string {
	found := map[string]string{}
	for key, value := range c.values {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			found[rest] = value
		}
	}
	return found
}

// String names the keys, not the values.
func (c Config) String() string { return fmt.Sprint("options ", slices.Sorted(maps.Keys(c.values))) }

// GoString is String, so that %#v keeps secrets too.
func (c Config) GoString() string { return c.String() }

var openers struct {
	sync.Mutex
	byScheme map[string]Opener
}

// Register makes paths with one of these URL schemes known to every job and command in the program. Packages of file systems call it when
// they are imported. It panics if a scheme is not in lower case, has less than two letters, is "file", or is registered already.
func Register(open Opener, schemes ...string) {
	openers.Lock()
	defer openers.Unlock()
	if openers.byScheme == nil {
		openers.byScheme = map[string]Opener{}
	}
	for _, s := range schemes {
		if !validScheme.MatchString(s) || s == "file" {
			panic(fmt.Sprintf("storage: %q cannot be a scheme", s))
		}
		if openers.byScheme[s] != nil {
			panic(fmt.Sprintf("storage: the scheme %q is registered twice", s))
		}
		openers.byScheme[s] = open
	}
}

var validScheme = regexp.MustCompile(`^[a-z][a-z0-9+-]+$`)

// Open makes the file system of a scheme. The error is that of CheckScheme, or the opener's.
func Open(ctx context.Context, scheme string, c Config) (FS, error) {
	if err := CheckScheme(scheme); err != nil {
		return nil, err
	}
	openers.Lock()
	open := openers.byScheme[scheme]
	openers.Unlock()
	fs, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open %s storage: %w", scheme, err)
	}
	return fs, nil
}

// imports are the packages of this module that register schemes.
var imports = map[string]string{
	"s3": "s3", "s3a": "s3", "s3n": "s3", "s3p": "s3",
	"gs":   "gcs",
	"wasb": "azure", "wasbs": "azure", "abfs": "azure", "abfss": "azure",
	"hdfs": "hdfs",
}

// CheckScheme returns nil if a scheme is registered, or else an error that says what the program has to import.
func CheckScheme(scheme string) error {
	openers.Lock()
	defer openers.Unlock()
	if openers.byScheme[scheme] != nil {
		return nil
	}
	if pkg := imports[scheme]; pkg != "" {
		return fmt.Errorf("this program does not know the file system %s; add to its imports: import _ %q", scheme, "github.com/weirstream/weir/storage/"+pkg)
	}
	known := append(slices.Sorted(maps.Keys(openers.byScheme)), "file")
	return fmt.Errorf("this program does not know the file system %s, only %s; import the package that registers it", scheme, strings.Join(known, ", "))
}

var schemeOfPath = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+-]+):/`)

// Scheme returns the scheme of a path that is a URL, in lower case, and "" for one without. A single letter is a drive.
func Scheme(path string) string {
	m := schemeOfPath.FindStringSubmatch(path)
	if m == nil {
		return ""
	}
	return strings.ToLower(m[1])
}
