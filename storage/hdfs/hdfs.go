// Package hdfs keeps checkpoints in HDFS. A program imports it for its effect:
//
//	import _ "github.com/weirstream/weir/storage/hdfs"
//
// From then on hdfs://namenode:8020/directory, hdfs://nameservice/directory and hdfs:///directory, for what Hadoop's configuration names, are
// directories of checkpoints and savepoints. The options are fs.hdfs.hadoopconf and hdfs.user; what it promises is in docs/storage.md.
//
//   - A file is created under its own name, which fails if there is one, and is complete when it is closed.
//   - HDFS has no rename here that refuses to overwrite. PutIfAbsent and Swap go through a claim: see claim.go.
//   - Kerberos is not supported: a configuration that asks for it is refused.
//   - A request is bounded by a minute without an answer. What has to do with names ends at once when its context does, reading and writing
//     at the next request.
package hdfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"net"
	"os"
	"os/user"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/colinmarc/hdfs/v2"
	"github.com/colinmarc/hdfs/v2/hadoopconf"

	"github.com/weirstream/weir/storage"
)

func init() { storage.Register(Open, "hdfs") }

// Open makes the file system of a configuration. It reads Hadoop's, and talks to nobody.
func Open(_ context.Context, c storage.Config) (storage.FS, error) {
	conf, err := loadConf(c.Get("fs.hdfs.hadoopconf"))
	if err != nil {
		return nil, fmt.Errorf("read Hadoop's configuration: %w", err)
	}
	name, err := userName(c.Get("hdfs.user"))
	if err != nil {
		return nil, err
	}
	f := &fileSystem{conf: conf, user: name}
	f.mu.clients = map[string]*hdfs.Client{}
	return f, nil
}

func loadConf(dir string) (hadoopconf.HadoopConf, error) {
	if dir != "" {
		return hadoopconf.Load(dir)
	}
	return hadoopconf.LoadFromEnvironment()
}

func userName(set string) (string, error) {
	if set != "" {
		return set, nil
	}
	if name := os.Getenv("HADOOP_USER_NAME"); name != "" { // as Hadoop's own clients do
		return name, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("find out the user, which hdfs.user sets: %w", err)
	}
	return u.Username, nil
}

type fileSystem struct {
	conf hadoopconf.HadoopConf
	user string
	mu   struct {
		sync.Mutex
		clients map[string]*hdfs.Client // by the host in a path
	}
}

var _ storage.FS = (*fileSystem)(nil)

// reserved begins the names that listings leave out.
const reserved = ".weir-"

// silence is how long a connection may say nothing.
const silence = time.Minute

// dial bounds every read and write of a connection, which the client does not.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return bounded{c}, nil
}

type bounded struct{ net.Conn }

func (c bounded) Read(p []byte) (int, error) {
	c.SetReadDeadline(time.Now().Add(silence)) // if it fails so does Read
	return c.Conn.Read(p)
}

func (c bounded) Write(p []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(silence))
	return c.Conn.Write(p)
}

// split cuts a path into who keeps it and its path there.
func split(full string) (host, name string, err error) {
	_, rest, ok := strings.Cut(full, ":/")
	if !ok {
		return "", "", fmt.Errorf("%s: a path such as hdfs://namenode:8020/directory is needed", full)
	}
	if after, isHost := strings.CutPrefix(rest, "/"); isHost {
		host, rest, _ = strings.Cut(after, "/")
	}
	return host, path.Clean("/" + rest), nil
}

// clientOf returns the client for a path, and the path as it takes it.
func (f *fileSystem) clientOf(full string) (*hdfs.Client, string, error) {
	host, name, err := split(full)
	if err != nil {
		return nil, "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.mu.clients[host]; c != nil {
		return c, name, nil
	}
	options := hdfs.ClientOptionsFromConf(f.conf)
	if options.KerberosClient != nil {
		return nil, "", errors.New("this cluster asks for Kerberos, which is not supported yet")
	}
	switch {
	case strings.Contains(host, ":"):
		options.Addresses = []string{host}
	case host != "" && len(options.Addresses) == 0:
		options.Addresses = []string{host + ":8020"}
	case len(options.Addresses) == 0:
		return nil, "", errors.New("the path names no NameNode, and Hadoop's configuration none either: set fs.hdfs.hadoopconf or HADOOP_CONF_DIR")
	}
	options.User, options.NamenodeDialFunc, options.DatanodeDialFunc = f.user, dial, dial
	c, err := hdfs.NewClient(options)
	if err != nil {
		return nil, "", fmt.Errorf("connect to %s (look at the network, and the address in the path): %w", strings.Join(options.Addresses, ", "), err)
	}
	f.mu.clients[host] = c
	return c, name, nil
}

// do runs one operation on names. It returns when the context is done, although the operation may go on.
func (f *fileSystem) do(ctx context.Context, op, full string, run func(c *hdfs.Client, name string) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, full, err)
	}
	done := make(chan error, 1)
	go func() {
		c, name, err := f.clientOf(full)
		if err == nil {
			err = run(c, name)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return wrap(op, full, err)
	case <-ctx.Done():
		return fmt.Errorf("%s %s: %w", op, full, ctx.Err())
	}
}

// wrap names operation and path, says what to do, and adds the contract's error on proof. It keeps nil.
func wrap(op, full string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrExist) || errors.Is(err, storage.ErrChanged):
	case op == "open" && isAbsent(err):
		err = storage.ErrNotExist
	case op == "create" && errors.Is(err, iofs.ErrExist):
		err = storage.ErrExist
	case errors.Is(err, iofs.ErrPermission):
		err = fmt.Errorf("%w (the user, which hdfs.user sets, must be allowed to read and write there)", withoutPath(err))
	case strings.Contains(err.Error(), "SafeModeException"):
		err = fmt.Errorf("%w (the NameNode is in safe mode: it has just started, or lacks space)", withoutPath(err))
	default:
		err = withoutPath(err)
	}
	return fmt.Errorf("%s %s: %w", op, full, err)
}

// withoutPath drops the client's own mention of operation and path, and adds what the NameNode has said of its exception.
func withoutPath(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	var remote hdfs.Error
	if errors.As(err, &remote) {
		said, _, _ := strings.Cut(remote.Message(), "\n")
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// isAbsent reports proof that a path does not exist: no entry of that name, or a file where a directory on the way would have to be.
func isAbsent(err error) bool {
	return errors.Is(err, iofs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || err != nil && strings.Contains(err.Error(), "ParentNotDirectoryException")
}

// MakeDir implements storage.FS.
func (f *fileSystem) MakeDir(ctx context.Context, dir string) error {
	return f.do(ctx, "make directory", dir, func(c *hdfs.Client, name string) error { return c.MkdirAll(name, 0o755) })
}

// Create implements storage.FS.
func (f *fileSystem) Create(ctx context.Context, full string) (storage.Writer, error) {
	var w *hdfs.FileWriter
	err := f.do(ctx, "create", full, func(c *hdfs.Client, name string) (err error) {
		w, err = create(c, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &writer{ctx: ctx, fs: f, path: full, file: w}, nil
}

// create makes a file, and the directories above it only if they turn out to be missing.
func create(c *hdfs.Client, name string) (*hdfs.FileWriter, error) {
	w, err := c.Create(name)
	if !errors.Is(err, iofs.ErrNotExist) {
		return w, err
	}
	if err := c.MkdirAll(path.Dir(name), 0o755); err != nil {
		return nil, err
	}
	return c.Create(name)
}

type writer struct {
	ctx  context.Context
	fs   *fileSystem
	path string
	file *hdfs.FileWriter
	err  error // the first of Write: what the client closes after it is incomplete, and it does not say so
}

func (w *writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, fmt.Errorf("write %s: %w", w.path, err)
	}
	if len(p) == 0 {
		return 0, nil // the client would begin a block that no DataNode ever reports
	}
	n, err := w.file.Write(p)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, wrap("write", w.path, err)
}

// Commit closes the file, which makes it complete.
func (w *writer) Commit() error {
	err := cmp.Or(w.err, w.ctx.Err())
	if err == nil {
		err = closeFile(w.ctx, w.file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("commit %s: %w", w.path, withoutPath(err)), w.Abort())
	}
	return nil
}

// replicatingPause is waited before a file is closed again.
const replicatingPause = 20 * time.Millisecond

// closeFile closes a file. The NameNode refuses as long as no DataNode has reported the last block; without another attempt the file would never be
// complete, and its lease not given back.
func closeFile(ctx context.Context, w *hdfs.FileWriter) error {
	for begun := time.Now(); ; {
		err := w.Close()
		if err == nil || !hdfs.IsErrReplicating(err) || time.Since(begun) > silence {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(replicatingPause):
		}
	}
}

// Abort removes the file, also when the context is done. Closing it first gives its lease back, if that is still possible.
func (w *writer) Abort() error {
	_ = w.file.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), silence)
	defer cancel()
	return w.fs.Remove(ctx, w.path)
}

// List implements storage.FS.
func (f *fileSystem) List(ctx context.Context, dir string) ([]storage.Entry, error) {
	var entries []storage.Entry
	err := f.do(ctx, "list", dir, func(c *hdfs.Client, name string) error {
		found, err := c.ReadDir(name)
		if isAbsent(err) {
			return nil
		}
		for _, i := range found {
			if strings.HasPrefix(i.Name(), reserved) {
				continue
			}
			e := storage.Entry{Name: i.Name(), Dir: i.IsDir(), Modified: i.ModTime()}
			if !e.Dir {
				e.Size = i.Size()
			}
			entries = append(entries, e)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil // ReadDir sorts them
}

// Remove implements storage.FS.
func (f *fileSystem) Remove(ctx context.Context, paths ...string) error {
	var first error
	for _, p := range paths {
		err := f.do(ctx, "remove", p, remove)
		if first == nil {
			first = err
		}
	}
	return first
}

// remove removes a file or a directory. A directory that is empty but for files of our own is empty to the caller.
func remove(c *hdfs.Client, name string) error {
	err := c.Remove(name)
	if err == nil || isAbsent(err) {
		return nil
	}
	if left, listErr := c.ReadDir(name); listErr == nil {
		for _, i := range left {
			if !strings.HasPrefix(i.Name(), reserved) {
				return err
			}
		}
		return c.RemoveAll(name)
	}
	return err
}

// RemoveAll implements storage.FS.
func (f *fileSystem) RemoveAll(ctx context.Context, dir string) error {
	return f.do(ctx, "remove all of", dir, func(c *hdfs.Client, name string) error {
		if err := c.RemoveAll(name); !isAbsent(err) {
			return err
		}
		return nil
	})
}
