package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/weirstream/weir/storage/internal/object"
)

// store implements object.Store.
type store struct {
	client   *s3.Client
	partSize int
	parallel int
}

// tokenKey is the name of the token in an object's metadata.
const tokenKey = "weir-write"

// deleteBatch is how many objects one request deletes.
const deleteBatch = 1000

func (s *store) PartSize() int { return s.partSize }
func (s *store) Parallel() int { return s.parallel }

func (s *store) Read(ctx context.Context, at object.Place, offset, length int64) (io.ReadCloser, object.Info, error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &at.Bucket, Key: &at.Key, Range: aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)),
	})
	if isCode(err, "InvalidRange") { // it ends before the offset, as an empty object does
		info, err := s.Stat(ctx, at)
		return nil, info, err
	}
	if err != nil {
		return nil, object.Info{}, withoutProof(err)
	}
	info := object.Info{Version: aws.ToString(out.ETag), Token: out.Metadata[tokenKey]}
	size, ranged := sizeOfRange(aws.ToString(out.ContentRange))
	info.Size = size
	if !ranged { // the service has sent all: an empty object, or ranges are not its business
		info.Size = aws.ToInt64(out.ContentLength)
		if offset > 0 {
			out.Body.Close()
			return nil, info, fmt.Errorf("the service does not read ranges")
		}
	}
	if info.Size == 0 {
		out.Body.Close()
		return nil, info, nil
	}
	return out.Body, info, nil
}

// withoutProof hides what the SDK makes of a 404 that does not come with the protocol's own code: any web server says so.
func withoutProof(err error) error {
	if isCode(err, "NotFound") {
		return fmt.Errorf("whoever answers may not be an S3 service: look at s3.endpoint: %v", err)
	}
	return err
}

// sizeOfRange reads the size of the object in "bytes 0-99/1234".
func sizeOfRange(header string) (size int64, ok bool) {
	_, total, ok := strings.Cut(header, "/")
	n, err := fmt.Sscan(total, &size)
	return size, ok && n == 1 && err == nil
}

func (s *store) Stat(ctx context.Context, at object.Place) (object.Info, error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &at.Bucket, Key: &at.Key})
	if err != nil {
		return object.Info{}, err
	}
	return object.Info{Size: aws.ToInt64(out.ContentLength), Version: aws.ToString(out.ETag), Token: out.Metadata[tokenKey]}, nil
}

func (s *store) Write(ctx context.Context, at object.Place, data []byte, token string, c object.Condition) error {
	in := &s3.PutObjectInput{Bucket: &at.Bucket, Key: &at.Key, Body: bytes.NewReader(data), Metadata: map[string]string{tokenKey: token}}
	switch {
	case c.Absent:
		in.IfNoneMatch = aws.String("*")
	case c.Version != "":
		in.IfMatch = &c.Version
	}
	_, err := s.client.PutObject(ctx, in)
	return err
}

// upload is a multipart upload.
type upload struct {
	*store
	at object.Place
	id *string
	mu struct {
		sync.Mutex
		etags map[int]*string
	}
}

func (s *store) Begin(ctx context.Context, at object.Place, token string) (object.Upload, error) {
	out, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &at.Bucket, Key: &at.Key, Metadata: map[string]string{tokenKey: token},
	})
	if err != nil {
		return nil, err
	}
	u := &upload{store: s, at: at, id: out.UploadId}
	u.mu.etags = map[int]*string{}
	return u, nil
}

func (u *upload) Part(ctx context.Context, n int, data []byte) error {
	out, err := u.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &u.at.Bucket, Key: &u.at.Key, UploadId: u.id, PartNumber: aws.Int32(int32(n)), Body: bytes.NewReader(data),
	})
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.etags[n] = out.ETag
	return nil
}

func (u *upload) Complete(ctx context.Context, n int) error {
	parts := make([]types.CompletedPart, n)
	u.mu.Lock()
	for i := range parts {
		parts[i] = types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: u.mu.etags[i+1]}
	}
	u.mu.Unlock()
	_, err := u.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &u.at.Bucket, Key: &u.at.Key, UploadId: u.id, IfNoneMatch: aws.String("*"),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	return err
}

func (u *upload) Abort(ctx context.Context) error {
	_, err := u.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &u.at.Bucket, Key: &u.at.Key, UploadId: u.id})
	return err
}

func (s *store) List(ctx context.Context, dir object.Place, all bool, page func([]object.Object) error) error {
	in := &s3.ListObjectsV2Input{Bucket: &dir.Bucket, Prefix: aws.String(dir.Prefix())}
	if !all {
		in.Delimiter = aws.String("/")
	}
	pages := s3.NewListObjectsV2Paginator(s.client, in)
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		if err := page(objectsOf(out)); err != nil {
			return err
		}
	}
	return nil
}

func objectsOf(out *s3.ListObjectsV2Output) []object.Object {
	found := make([]object.Object, 0, len(out.Contents)+len(out.CommonPrefixes))
	for _, o := range out.Contents {
		found = append(found, object.Object{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)})
	}
	for _, p := range out.CommonPrefixes {
		found = append(found, object.Object{Key: strings.TrimSuffix(aws.ToString(p.Prefix), "/"), Dir: true})
	}
	return found
}

func (s *store) Delete(ctx context.Context, bucket string, keys []string) error {
	if len(keys) == 1 {
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &keys[0]})
		return err
	}
	var first error
	for len(keys) > 0 {
		batch := keys[:min(deleteBatch, len(keys))]
		keys = keys[len(batch):]
		if err := s.deleteBatch(ctx, bucket, batch); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (s *store) deleteBatch(ctx context.Context, bucket string, keys []string) error {
	ids := make([]types.ObjectIdentifier, len(keys))
	for i := range keys {
		ids[i] = types.ObjectIdentifier{Key: &keys[i]}
	}
	out, err := s.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &bucket, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)}})
	if err != nil || len(out.Errors) == 0 {
		return err
	}
	e := out.Errors[0]
	return fmt.Errorf("%s, one of %d: %w", aws.ToString(e.Key), len(out.Errors),
		&smithy.GenericAPIError{Code: aws.ToString(e.Code), Message: aws.ToString(e.Message)})
}

// DropUploads gives up multipart uploads below a directory: nobody sees them, but they are stored and paid for.
func (s *store) DropUploads(ctx context.Context, dir object.Place) error {
	pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{Bucket: &dir.Bucket, Prefix: aws.String(dir.Prefix())})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if isCode(err, "NotImplemented", "MethodNotAllowed") {
			return nil
		}
		if err != nil {
			return err
		}
		for _, u := range out.Uploads {
			_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &dir.Bucket, Key: u.Key, UploadId: u.UploadId})
			if err != nil && s.Kind(err) != object.NoUpload {
				return err
			}
		}
	}
	return nil
}

// kinds are what the codes of the protocol mean.
var kinds = map[string]object.Kind{
	"NoSuchKey": object.NotFound, "NotFound": object.NotFound,

	"PreconditionFailed":         object.Precondition,
	"ConditionalRequestConflict": object.Conflict,
	"OperationAborted":           object.Conflict,

	"NoSuchBucket": object.NoBucket,
	"NoSuchUpload": object.NoUpload,

	"AccessDenied": object.Permission, "AllAccessDisabled": object.Permission, "AccountProblem": object.Permission, "Forbidden": object.Permission,

	"InvalidAccessKeyId": object.Credentials, "SignatureDoesNotMatch": object.Credentials, "ExpiredToken": object.Credentials,
	"InvalidToken": object.Credentials, "AuthorizationHeaderMalformed": object.Credentials,

	"SlowDown": object.Throttled, "ServiceUnavailable": object.Throttled, "Throttling": object.Throttled, "RequestLimitExceeded": object.Throttled,
	"TooManyRequests": object.Throttled,
}

// Kind says what an error means. NotFound is how the SDK calls a 404 without a code, as HeadObject answers: that is asked only of objects in
// buckets that were just read or written.
func (s *store) Kind(err error) object.Kind {
	var api smithy.APIError
	if errors.As(err, &api) {
		if kind, ok := kinds[api.ErrorCode()]; ok {
			return kind
		}
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		return object.KindOfStatus(response.HTTPStatusCode())
	}
	var signing *smithy.OperationError
	switch {
	case object.Unreached(err):
		return object.Unreachable
	case errors.As(err, &signing) && (strings.Contains(err.Error(), "resolve endpoint") || strings.Contains(err.Error(), "invalid input region")):
		return object.Misconfigured
	case errors.As(err, &signing) && strings.Contains(err.Error(), "credentials"):
		return object.Credentials
	}
	return object.Unknown
}

func isCode(err error, codes ...string) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, c := range codes {
		if api.ErrorCode() == c {
			return true
		}
	}
	return false
}
