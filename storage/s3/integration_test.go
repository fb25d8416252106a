//go:build integration

package s3_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/storage/internal/servers"
	"github.com/weirstream/weir/storage/s3"
	"github.com/weirstream/weir/storage/storagetest"
)

// service starts an S3 service with a bucket, and returns the options for it.
func service(t *testing.T) (options map[string]string) {
	url := servers.S3(t)
	client := awss3.New(awss3.Options{
		Region: "us-east-1", BaseEndpoint: &url, UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider(servers.Key, servers.Secret, ""),
	})
	if _, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("bucket")}); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"s3.endpoint": url, "s3.path.style.access": "true", "s3.access-key": servers.Key, "s3.secret-key": servers.Secret}
}

func open(t *testing.T, options map[string]string) storage.FS {
	fs, err := s3.Open(t.Context(), storage.NewConfig(options))
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestRealSuite(t *testing.T) {
	fs := open(t, service(t))
	storagetest.RunBelow(t, fs, "s3://bucket/suite")
}

// A file of four parts, given up and then written.
func TestRealMultipart(t *testing.T) {
	storagetest.Large(t, open(t, service(t)), "s3://bucket/large", "s3://bucket/large", 16<<20)
}

// More files than one request lists or deletes.
func TestRealPages(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 1100 files")
	}
	fs := open(t, service(t))
	var names []string
	for i := range 1100 {
		name := fmt.Sprintf("s3://bucket/many/%04d", i)
		w, err := fs.Create(t.Context(), name)
		if err == nil {
			err = w.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	for _, c := range []struct {
		what string
		do   func() error
		left int
	}{
		{"nothing", func() error { return nil }, 1100},
		{"Remove", func() error { return fs.Remove(t.Context(), names[:1050]...) }, 50},
		{"RemoveAll", func() error { return fs.RemoveAll(t.Context(), "s3://bucket/many") }, 0},
	} {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		entries, err := fs.List(t.Context(), "s3://bucket/many")
		if err != nil || len(entries) != c.left {
			t.Errorf("after %s %d files are listed, %v; want %d", c.what, len(entries), err, c.left)
		}
	}
}
