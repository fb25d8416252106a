package hdfs

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path"
	"time"

	"github.com/colinmarc/hdfs/v2"

	"github.com/weirstream/weir/storage"
)

// A claim lets one writer at a time decide about a file, on top of renames that overwrite.
//
// A writer puts the whole content into a file in a directory of its own, and renames that directory to the name that stands for the claim on the
// target. A directory that is not empty is not overwritten, so this succeeds for one writer. It looks at the target, and if what it finds is as it
// must be, renames the content out of the claim onto the target. The claim is empty then, and free for the next.
//
// A writer that dies leaves its claim behind. Others wait, and after staleAfter move it aside. If its writer was only slow, nothing is lost: the
// content that it is about to rename lies in the claim, under a name of its own, so that its rename fails as soon as the claim is another's.
// So time decides how long a claim blocks others, never who is right.
//
//	.weir-put-<file>-<random>/<random>    before
//	.weir-claim-<file>/<random>           while it is held
//	.weir-broken-<random>                 moved aside
type claim struct {
	client  *hdfs.Client
	target  string
	name    string // of the claim
	work    string // directory of our own
	content string // name of the content in either
	ready   time.Time
	since   time.Time // when work was complete, by the NameNode's clock
}

// staleAfter is how long a claim is respected. A writer holds it for three requests to the NameNode.
const staleAfter = 10 * time.Second

// claimPause is waited before a claim that another has is tried again.
const claimPause = 20 * time.Millisecond

// PutIfAbsent implements storage.FS.
func (f *fileSystem) PutIfAbsent(ctx context.Context, full string, data []byte) error {
	return f.decide(ctx, "put", full, data, func(c *hdfs.Client, name string) error {
		_, err := c.Stat(name)
		switch {
		case err == nil:
			return storage.ErrExist
		case isAbsent(err):
			return nil
		}
		return err
	})
}

// Swap implements storage.FS.
func (f *fileSystem) Swap(ctx context.Context, full string, old, new []byte) error {
	return f.decide(ctx, "swap", full, new, func(c *hdfs.Client, name string) error {
		present, err := readFile(c, name)
		switch {
		case isAbsent(err) && old == nil:
			return nil
		case isAbsent(err), err == nil && (old == nil || !bytes.Equal(present, old)):
			return storage.ErrChanged
		}
		return err
	})
}

func readFile(c *hdfs.Client, name string) ([]byte, error) {
	r, err := c.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// decide writes data to a file in one step, if what is there is as it must be: may returns nil.
func (f *fileSystem) decide(ctx context.Context, op, full string, data []byte, may func(c *hdfs.Client, name string) error) error {
	data = bytes.Clone(data) // the work may outlast the call
	return f.do(ctx, op, full, func(c *hdfs.Client, name string) error {
		k := newClaim(c, name)
		defer func() { _ = c.RemoveAll(k.work) }() // if it was not renamed; what is left is not listed
		if err := k.prepare(ctx, data); err != nil {
			return err
		}
		if err := k.take(ctx); err != nil {
			return err
		}
		err := may(c, name)
		if err == nil {
			err = c.Rename(path.Join(k.name, k.content), name)
		}
		return errors.Join(err, k.release())
	})
}

func newClaim(c *hdfs.Client, target string) *claim {
	var random [8]byte
	rand.Read(random[:]) // never fails
	own := hex.EncodeToString(random[:])
	dir, base := path.Split(target)
	return &claim{
		client: c, target: target, name: dir + reserved + "claim-" + base, work: dir + reserved + "put-" + base + "-" + own, content: own,
	}
}

// prepare writes the content.
func (k *claim) prepare(ctx context.Context, data []byte) error {
	if err := k.client.MkdirAll(k.work, 0o755); err != nil {
		return err
	}
	w, err := k.client.Create(path.Join(k.work, k.content))
	if err != nil {
		return err
	}
	if len(data) > 0 { // see writer.Write
		if _, err := w.Write(data); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	if err := closeFile(ctx, w); err != nil {
		return err
	}
	i, err := k.client.Stat(k.work)
	if err == nil {
		k.ready, k.since = time.Now(), i.ModTime()
	}
	return err
}

// take waits for the claim.
func (k *claim) take(ctx context.Context) error {
	for {
		err := k.client.Rename(k.work, k.name)
		if err == nil {
			return nil
		}
		held, statErr := k.client.Stat(k.name)
		switch {
		case isAbsent(statErr): // it was given up meanwhile, or there was another reason
			if _, gone := k.client.Stat(k.work); gone != nil {
				return err
			}
		case statErr != nil:
			return statErr
		case k.age(held) > staleAfter:
			if err := k.client.Rename(k.name, path.Join(path.Dir(k.name), reserved+"broken-"+k.content)); err != nil && !isAbsent(err) {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for another writer of the file: %w", ctx.Err())
		case <-time.After(claimPause):
		}
	}
}

// age returns how old a claim is by the NameNode's clock, whose time we have from our own directory.
func (k *claim) age(held iofs.FileInfo) time.Duration {
	return k.since.Sub(held.ModTime()) + time.Since(k.ready)
}

// release removes the claim if it is still ours: with our content if that was not renamed, and empty otherwise.
func (k *claim) release() error {
	err := k.client.Remove(path.Join(k.name, k.content))
	if err != nil && !isAbsent(err) {
		return err
	}
	_ = k.client.Remove(k.name) // an empty one is in nobody's way, and one that is not empty is another's
	return nil
}
