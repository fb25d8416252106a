// Package s3 keeps checkpoints in S3 and in what speaks its protocol. A program imports it for its effect:
//
//	import _ "github.com/weirstream/weir/storage/s3"
//
// From then on s3://bucket/directory, and s3a://, s3n:// and s3p:// for the same, are directories of checkpoints and savepoints. The options
// are those that begin with s3. in docs/reference/config.md; what it promises, and what that costs, is in docs/storage.md.
//
//   - A small file is one PutObject, a larger one a multipart upload, both on condition that there is no object of that name.
//   - PutIfAbsent is a PutObject with If-None-Match, Swap one with If-Match. A service that ignores them is found out and refused.
//   - Requests are tried again by the SDK: three attempts with back-off, unless its environment says otherwise (AWS_MAX_ATTEMPTS).
package s3

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/internal/object"
)

func init() { storage.Register(Open, "s3", "s3a", "s3n", "s3p") }

// defaultRegion is asked for where services have none of their own.
const defaultRegion = "us-east-1"

// Open makes the file system of a configuration. It talks to nobody; credentials are looked for when the first request is made.
func Open(ctx context.Context, c storage.Config) (storage.FS, error) { return open(ctx, c) }

func open(ctx context.Context, c storage.Config, more ...func(*s3.Options)) (storage.FS, error) {
	partSize, err := number(c, "s3.upload.min.part.size", 5<<20)
	if err != nil {
		return nil, err
	}
	parallel, err := number(c, "s3.upload.max.concurrent.uploads", 2)
	if err != nil {
		return nil, err
	}
	client, err := newClient(ctx, c, more...)
	if err != nil {
		return nil, err
	}
	made := object.New(&store{client: client, partSize: partSize, parallel: parallel}, advice)
	marker := c.Get("s3.entropy.key")
	if marker == "" {
		return made, nil
	}
	length, err := number(c, "s3.entropy.length", 4)
	if err != nil {
		return nil, err
	}
	return spread{made, marker, length}, nil
}

// spread is the file system with a marker for entropy.
type spread struct {
	*object.FS
	marker string
	length int
}

// Entropy implements storage.Spreader.
func (s spread) Entropy() (marker string, length int) { return s.marker, s.length }

func number(c storage.Config, key string, unset int) (int, error) {
	text := c.Get(key)
	if text == "" {
		return unset, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s = %q is not a number above 0", key, text)
	}
	return n, nil
}

// newClient takes what the SDK finds in its environment, and then the options.
func newClient(ctx context.Context, c storage.Config, more ...func(*s3.Options)) (*s3.Client, error) {
	var options []func(*config.LoadOptions) error
	if region := c.Get("s3.region"); region != "" {
		options = append(options, config.WithRegion(region))
	}
	if key := c.Get("s3.access-key"); key != "" {
		options = append(options, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(key, c.Get("s3.secret-key"), c.Get("s3.session-token"))))
	}
	found, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("read the SDK's configuration: %w", err)
	}
	endpoint := c.Get("s3.endpoint")
	if endpoint != "" && found.Region == "" {
		found.Region = defaultRegion
	}
	return s3.NewFromConfig(found, append([]func(*s3.Options){func(o *s3.Options) {
		o.UsePathStyle = c.Get("s3.path.style.access") == "true"
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
			// Services other than AWS often do not know the checksums that the SDK adds by default. State has checksums of its own.
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}
	}}, more...)...), nil
}

var advice = map[object.Kind]string{
	object.NoBucket: "make the bucket, or correct its name or region",
	object.Permission: "the credentials must allow s3:GetObject, PutObject, DeleteObject, ListBucket and AbortMultipartUpload there; " +
		"without ListBucket an absent object cannot be told from a forbidden one",
	object.Credentials: "set s3.access-key and s3.secret-key, or what the SDK looks for: AWS_ACCESS_KEY_ID, a shared configuration, a role; and the right s3.region",
	object.Misconfigured: "set s3.region, or what the SDK looks for: AWS_REGION, a shared configuration; for a service other than AWS set s3.endpoint, " +
		"with its scheme: https://host:port",
	object.Throttled:   "the service asks for fewer requests; checkpoint less often, or spread state over fewer files with a higher execution.checkpointing.data-inline-threshold",
	object.Unreachable: "look at the network, s3.endpoint and s3.region; services other than AWS mostly need s3.path.style.access: true",
}
