// Package gcs keeps checkpoints in Google Cloud Storage. A program imports it for its effect:
//
//	import _ "github.com/weirstream/weir/storage/gcs"
//
// From then on gs://bucket/directory is a directory of checkpoints and savepoints. The options are those that begin with gs. in
// docs/reference/config.md; what it promises, and what that costs, is in docs/storage.md.
//
//   - A file is one upload on condition that there is no object of that name, resumable in chunks if it is large.
//   - PutIfAbsent is a write with ifGenerationMatch=0, Swap one with the generation that was read.
//   - Requests are tried again by the client, up to six times with back-off.
package gcs

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/option"

	contract "github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/internal/object"
)

func init() { contract.Register(Open, "gs") }

const defaultChunk = 8 << 20

// How often the client tries a request, how long it waits in between, and how long it tries to go on with an upload.
const (
	attempts   = 6
	firstPause = 200 * time.Millisecond
	patience   = time.Minute
)

// Open makes the file system of a configuration. It talks to nobody; credentials are looked for when the first request is made.
func Open(_ context.Context, c contract.Config) (contract.FS, error) {
	chunk := defaultChunk
	if text := c.Get("gs.writer.chunk.size"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("gs.writer.chunk.size = %q is not a number of bytes", text)
		}
		chunk = n
	}
	options, err := clientOptions(c)
	if err != nil {
		return nil, err
	}
	return object.New(&store{chunk: chunk, options: options, attempts: attempts}, advice), nil
}

func clientOptions(c contract.Config) ([]option.ClientOption, error) {
	options := []option.ClientOption{storage.WithJSONReads()} // ranges and generations by one protocol
	if root := c.Get("gs.storage.root.url"); root != "" {
		options = append(options, option.WithEndpoint(root+"/storage/v1/"))
	}
	switch auth := c.Get("gs.auth.type"); auth {
	case "", "APPLICATION_DEFAULT":
	case "SERVICE_ACCOUNT_JSON_KEYFILE":
		options = append(options, option.WithAuthCredentialsFile(option.ServiceAccount, c.Get("gs.auth.service.account.json.keyfile")))
	case "UNAUTHENTICATED":
		options = append(options, option.WithoutAuthentication())
	default:
		return nil, fmt.Errorf("gs.auth.type = %q is not known", auth)
	}
	return options, nil
}

// client makes the client when it is first needed: it reads credentials. A failure is tried again by the next request.
func (s *store) client() (*storage.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.client != nil {
		return s.mu.client, nil
	}
	c, err := storage.NewClient(context.Background(), s.options...) // its context lives as long as the client
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCredentials, err)
	}
	c.SetRetry(storage.WithBackoff(gax.Backoff{Initial: firstPause, Max: 10 * time.Second, Multiplier: 2}), storage.WithMaxAttempts(s.attempts),
		storage.WithPolicy(storage.RetryAlways)) // all that is done here can be done twice
	s.mu.client = c
	return c, nil
}

type store struct {
	chunk    int
	options  []option.ClientOption
	attempts int
	mu       struct {
		sync.Mutex
		client *storage.Client
	}
}

var advice = map[object.Kind]string{
	object.NoBucket:   "make the bucket, or correct its name",
	object.Permission: "the account needs storage.objects.get, create, delete and list on the bucket (role Storage Object Admin)",
	object.Credentials: "set gs.auth.type and gs.auth.service.account.json.keyfile, or what Google's tools look for: GOOGLE_APPLICATION_CREDENTIALS, " +
		"gcloud auth application-default login, the account of the machine",
	object.Throttled: "the service asks for fewer requests; one object can be written once a second: checkpoint less often, " +
		"or spread state over fewer files with a higher execution.checkpointing.data-inline-threshold",
	object.Unreachable: "look at the network and gs.storage.root.url",
}
