package azure

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/weirstream/weir/storage/internal/object"
)

// tokenKey is the name of the token in a blob's metadata, which must be an identifier.
const tokenKey = "weirwrite"

func (s *store) PartSize() int { return s.block }
func (s *store) Parallel() int { return 2 }

func (s *store) blob(at object.Place) (*blockblob.Client, error) {
	c, err := s.containerOf(at.Bucket)
	if err != nil {
		return nil, err
	}
	return c.NewBlockBlobClient(at.Key), nil
}

func (s *store) Read(ctx context.Context, at object.Place, offset, length int64) (io.ReadCloser, object.Info, error) {
	b, err := s.blob(at)
	if err != nil {
		return nil, object.Info{}, err
	}
	out, err := b.DownloadStream(ctx, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: offset, Count: length}})
	if isCode(err, "InvalidRange") { // it ends before the offset, as an empty blob does
		info, err := s.Stat(ctx, at)
		return nil, info, err
	}
	if err != nil {
		return nil, object.Info{}, err
	}
	info := object.Info{Version: etag(out.ETag), Token: token(out.Metadata)}
	if _, err := fmt.Sscanf(afterSlash(out.ContentRange), "%d", &info.Size); err != nil && out.ContentLength != nil {
		info.Size = *out.ContentLength // all of it
	}
	if info.Size <= offset {
		out.Body.Close()
		return nil, info, nil
	}
	return out.Body, info, nil
}

// afterSlash returns the size in "bytes 0-99/1234".
func afterSlash(contentRange *string) string {
	if contentRange == nil {
		return ""
	}
	_, size, _ := strings.Cut(*contentRange, "/")
	return size
}

func etag(e *azcore.ETag) string {
	if e == nil {
		return ""
	}
	return string(*e)
}

// token finds the token whatever the case of its name, which proxies change.
func token(metadata map[string]*string) string {
	for key, value := range metadata {
		if strings.EqualFold(key, tokenKey) && value != nil {
			return *value
		}
	}
	return ""
}

func (s *store) Stat(ctx context.Context, at object.Place) (object.Info, error) {
	b, err := s.blob(at)
	if err != nil {
		return object.Info{}, err
	}
	out, err := b.GetProperties(ctx, nil)
	if err != nil {
		return object.Info{}, err
	}
	info := object.Info{Version: etag(out.ETag), Token: token(out.Metadata)}
	if out.ContentLength != nil {
		info.Size = *out.ContentLength
	}
	return info, nil
}

func conditions(c object.Condition) *blob.AccessConditions {
	m := &blob.ModifiedAccessConditions{}
	switch {
	case c.Absent:
		m.IfNoneMatch = to.Ptr(azcore.ETagAny)
	case c.Version != "":
		m.IfMatch = to.Ptr(azcore.ETag(c.Version))
	}
	return &blob.AccessConditions{ModifiedAccessConditions: m}
}

func body(data []byte) io.ReadSeekCloser { return streaming.NopCloser(bytes.NewReader(data)) }

func (s *store) Write(ctx context.Context, at object.Place, data []byte, token string, c object.Condition) error {
	b, err := s.blob(at)
	if err != nil {
		return err
	}
	_, err = b.Upload(ctx, body(data), &blockblob.UploadOptions{Metadata: map[string]*string{tokenKey: &token}, AccessConditions: conditions(c)})
	return err
}

// upload is a list of blocks that are staged, and belong to no blob until it is committed.
type upload struct {
	blob  *blockblob.Client
	token string
}

func (s *store) Begin(_ context.Context, at object.Place, token string) (object.Upload, error) {
	b, err := s.blob(at)
	if err != nil {
		return nil, err
	}
	return &upload{b, token}, nil
}

// blockID returns the name of a block. It has the token, so that two writers of one name do not mix their blocks.
func (u *upload) blockID(n int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s-%08d", u.token, n))
}

func (u *upload) Part(ctx context.Context, n int, data []byte) error {
	_, err := u.blob.StageBlock(ctx, u.blockID(n), body(data), nil)
	return err
}

func (u *upload) Complete(ctx context.Context, n int) error {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = u.blockID(i + 1)
	}
	_, err := u.blob.CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{
		Metadata: map[string]*string{tokenKey: &u.token}, AccessConditions: conditions(object.Condition{Absent: true}),
	})
	return err
}

// Abort leaves the blocks to the service, which drops them after a week.
func (u *upload) Abort(context.Context) error { return nil }

func (s *store) List(ctx context.Context, dir object.Place, all bool, page func([]object.Object) error) error {
	c, err := s.containerOf(dir.Bucket)
	if err != nil {
		return err
	}
	prefix := to.Ptr(dir.Prefix())
	if all {
		pages := c.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: prefix})
		for pages.More() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			if err := page(objectsOf(out.Segment.BlobItems, nil)); err != nil {
				return err
			}
		}
		return nil
	}
	pages := c.NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{Prefix: prefix})
	for pages.More() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		if err := page(objectsOf(out.Segment.BlobItems, out.Segment.BlobPrefixes)); err != nil {
			return err
		}
	}
	return nil
}

func objectsOf(items []*container.BlobItem, prefixes []*container.BlobPrefix) []object.Object {
	var found []object.Object
	for _, i := range items {
		o := object.Object{Key: *i.Name}
		if i.Properties.ContentLength != nil {
			o.Size = *i.Properties.ContentLength
		}
		if i.Properties.LastModified != nil {
			o.Modified = *i.Properties.LastModified
		}
		found = append(found, o)
	}
	for _, p := range prefixes {
		found = append(found, object.Object{Key: strings.TrimSuffix(*p.Name, "/"), Dir: true})
	}
	return found
}

// Delete asks for each: the service's request for many has no word for one that is absent.
func (s *store) Delete(ctx context.Context, bucket string, keys []string) error {
	return object.Each(keys, func(key string) error { return s.deleteOne(ctx, object.Place{Bucket: bucket, Key: key}) })
}

func (s *store) deleteOne(ctx context.Context, at object.Place) error {
	b, err := s.blob(at)
	if err != nil {
		return err
	}
	_, err = b.Delete(ctx, nil)
	if err == nil || s.Kind(err) == object.NotFound {
		return nil
	}
	return fmt.Errorf("%s: %w", at.Key, err)
}

// DropUploads does nothing: staged blocks cannot be listed but by the name of their blob, and the service drops them after a week.
func (s *store) DropUploads(context.Context, object.Place) error { return nil }

// kinds are what the codes of the protocol mean.
var kinds = map[string]object.Kind{
	"BlobNotFound":                    object.NotFound,
	"BlobAlreadyExists":               object.Precondition,
	"ConditionNotMet":                 object.Precondition,
	"TargetConditionNotMet":           object.Precondition,
	"ContainerNotFound":               object.NoBucket,
	"AuthorizationFailure":            object.Permission,
	"AuthorizationPermissionMismatch": object.Permission,
	"InsufficientAccountPermissions":  object.Permission,
	"AuthenticationFailed":            object.Credentials,
	"NoAuthenticationInformation":     object.Credentials,
	"InvalidAuthenticationInfo":       object.Credentials,
	"ServerBusy":                      object.Throttled,
	"InvalidBlockList":                object.NoUpload,
}

// Kind says what an error means. A 404 without the service's code proves nothing: any web server says so.
func (s *store) Kind(err error) object.Kind {
	var response *azcore.ResponseError
	if errors.As(err, &response) {
		if kind, ok := kinds[response.ErrorCode]; ok {
			return kind
		}
		return object.KindOfStatus(response.StatusCode)
	}
	switch {
	case errors.Is(err, errCredentials), err != nil && strings.Contains(err.Error(), "DefaultAzureCredential"):
		return object.Credentials
	case object.Unreached(err):
		return object.Unreachable
	}
	return object.Unknown
}

func isCode(err error, code string) bool {
	var response *azcore.ResponseError
	return errors.As(err, &response) && response.ErrorCode == code
}
