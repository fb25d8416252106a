// Package azure keeps checkpoints in Azure's blob storage. A program imports it for its effect:
//
//	import _ "github.com/weirstream/weir/storage/azure"
//
// From then on wasbs://container@account.blob.core.windows.net/directory and abfss://container@account.dfs.core.windows.net/directory, and wasb: and
// abfs: for the same, are directories of checkpoints and savepoints. All go to the blob service, over TLS unless fs.azure.endpoint says otherwise.
// The options are those that begin with fs.azure. in docs/reference/config.md; what it promises, and what that costs, is in docs/storage.md.
//
//   - A small file is one request, a larger one staged blocks and a list of them, both on condition that there is no blob of that name.
//   - PutIfAbsent is a write with If-None-Match, Swap one with If-Match.
//   - Requests are tried again by the SDK: three times with back-off.
package azure

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/internal/object"
)

func init() { storage.Register(Open, "wasb", "wasbs", "abfs", "abfss") }

// Open makes the file system of a configuration. It talks to nobody; credentials are looked for when the first request is made.
func Open(_ context.Context, c storage.Config) (storage.FS, error) {
	return open(c, policy.ClientOptions{})
}

const defaultBlock = 8 << 20

func open(c storage.Config, options policy.ClientOptions) (storage.FS, error) {
	block := defaultBlock
	if text := c.Get("fs.azure.write.request.size"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("fs.azure.write.request.size = %q is not a number of bytes", text)
		}
		block = n
	}
	s := &store{
		block: block, endpoint: c.Get("fs.azure.endpoint"), keys: c.WithPrefix("fs.azure.account.key."), sas: c.WithPrefix("fs.azure.sas."), options: options,
	}
	s.mu.containers = map[string]*container.Client{}
	return object.New(s, advice), nil
}

type store struct {
	block    int
	endpoint string            // of the account, empty for the host in the path
	keys     map[string]string // by host of the account
	sas      map[string]string // by container and host
	options  policy.ClientOptions
	mu       struct {
		sync.Mutex
		containers map[string]*container.Client // by what stands for the bucket in a path
	}
}

// place is container@account.blob.core.windows.net.
type place struct{ container, account, host string }

func parse(bucket string) (place, error) {
	name, host, ok := strings.Cut(bucket, "@")
	account, _, dotted := strings.Cut(host, ".")
	if !ok || name == "" || !dotted || account == "" {
		return place{}, fmt.Errorf("%q: a path such as wasbs://container@account.blob.core.windows.net/directory is needed", bucket)
	}
	return place{name, account, strings.Replace(host, ".dfs.", ".blob.", 1)}, nil
}

// containerOf returns the client for a container.
func (s *store) containerOf(bucket string) (*container.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.mu.containers[bucket]; c != nil {
		return c, nil
	}
	p, err := parse(bucket)
	if err != nil {
		return nil, err
	}
	c, err := s.newClient(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCredentials, err)
	}
	s.mu.containers[bucket] = c
	return c, nil
}

var errCredentials = errors.New("find credentials")

// newClient takes the first there is of a shared access signature of the container, the key of the account, and what the SDK finds.
func (s *store) newClient(p place) (*container.Client, error) {
	url := "https://" + p.host + "/" + p.container
	if s.endpoint != "" {
		url = strings.TrimRight(s.endpoint, "/") + "/" + p.container
	}
	options := &container.ClientOptions{ClientOptions: s.options}
	if sas := byHost(s.sas, p.container+".", p.host); sas != "" {
		return container.NewClientWithNoCredential(url+"?"+strings.TrimPrefix(sas, "?"), options)
	}
	if key := byHost(s.keys, "", p.host); key != "" {
		shared, err := container.NewSharedKeyCredential(p.account, key)
		if err != nil {
			return nil, fmt.Errorf("the key of account %s is not of its form", p.account) // the SDK's own text might show it
		}
		return container.NewClientWithSharedKeyCredential(url, shared, options)
	}
	found, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: s.options})
	if err != nil {
		return nil, err
	}
	return container.NewClient(url, azcore.TokenCredential(found), options)
}

// byHost finds a value for a host, which may have been written as that of either service.
func byHost(values map[string]string, before, host string) string {
	if v := values[before+host]; v != "" {
		return v
	}
	return values[before+strings.Replace(host, ".blob.", ".dfs.", 1)]
}

var advice = map[object.Kind]string{
	object.NoBucket:   "make the container, or correct its name or that of the account",
	object.Permission: "the account needs the role Storage Blob Data Contributor on the container; a shared access signature the permissions rcwdl",
	object.Credentials: "set fs.azure.account.key.<account>.blob.core.windows.net or fs.azure.sas.<container>.<account>.blob.core.windows.net, " +
		"or what the SDK looks for: AZURE_CLIENT_ID and its like, workload or managed identity, az login",
	object.Throttled:   "the service asks for fewer requests; checkpoint less often, or spread state over fewer files with a higher execution.checkpointing.data-inline-threshold",
	object.Unreachable: "look at the network, the name of the account and fs.azure.endpoint",
}
