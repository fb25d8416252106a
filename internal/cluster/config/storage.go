package config

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/weirstream/weir/storage"
)

const smallestPart = 5 << 20 // S3 takes no smaller one but at the end

// The options of stores. Each is for the package that a job imports for the store; see docs/storage.md.
var (
	S3Endpoint = stringOption(spec[string]{
		Key: "s3.endpoint", Built: true, Check: checkURL,
		Doc: "URL of the S3 service, `http://127.0.0.1:9000`. Unset: that of AWS for the region, or what the SDK's environment says.",
	})

	S3Region = stringOption(spec[string]{
		Key: "s3.region", Aliases: []string{"s3.endpoint.region"}, Built: true,
		Doc: "Region of the buckets. Unset: what the SDK's environment says; `us-east-1` if that is nothing and `s3.endpoint` is set.",
	})

	S3AccessKey = stringOption(spec[string]{
		Key: "s3.access-key", Built: true,
		Doc: "Access key, with `s3.secret-key`. Unset: the SDK's chain (environment, shared configuration, web identity, machine role).",
	})

	S3SecretKey = stringOption(spec[string]{
		Key: "s3.secret-key", Built: true,
		Doc: "Secret to `s3.access-key`. It belongs in the environment or a file that others cannot read, not on a command line.",
	})

	S3SessionToken = stringOption(spec[string]{
		Key: "s3.session-token", Built: true,
		Doc: "Session token to `s3.access-key`, if it is a temporary one.",
	})

	S3PathStyle = boolOption(spec[bool]{
		Key: "s3.path.style.access", Default: new(false), Built: true,
		Doc: "Whether the bucket is named in the path of a request instead of its host. Most services other than AWS need it.",
	})

	S3PartSize = sizeOption(spec[int64]{
		Key: "s3.upload.min.part.size", Default: new(int64(smallestPart)), Built: true,
		Check: func(v int64) error {
			if v < smallestPart || v > 1<<30 {
				return errors.New("not between 5 mb and 1 gb")
			}
			return nil
		},
		Doc: "Size of the parts that a large file is uploaded in. A file that is being written takes up to " +
			"`s3.upload.max.concurrent.uploads` + 1 parts of memory. From the 1001st part on they are larger.",
	})

	S3Uploads = intOption(spec[int]{
		Key: "s3.upload.max.concurrent.uploads", Default: new(2), Built: true, Check: between(1, 64),
		Doc: "How many parts of one file are under way at once.",
	})

	S3EntropyKey = stringOption(spec[string]{
		Key: "s3.entropy.key", Built: true, Check: checkMarker,
		Doc: "A marker such as `_entropy_`. In a directory of checkpoints or savepoints on S3 whose path has it, each file of state gets random " +
			"characters in its place, and what else there is nothing, so that S3 divides the requests. Unset: no path has such a marker.",
	})

	S3EntropyLength = intOption(spec[int]{
		Key: "s3.entropy.length", Default: new(4), Built: true, Check: between(1, 64),
		Doc: "How many random characters take the place of `s3.entropy.key`.",
	})

	GSRootURL = stringOption(spec[string]{
		Key: "gs.storage.root.url", Built: true, Check: checkURL,
		Doc: "URL of the Google Cloud Storage service. Unset: Google's.",
	})

	GSAuth = enumOption(gsAuths, spec[GSAuthType]{
		Key: "gs.auth.type", Built: true, Default: new(GSApplicationDefault),
		Doc: "`APPLICATION_DEFAULT` finds credentials as Google's tools do, `SERVICE_ACCOUNT_JSON_KEYFILE` takes those in " +
			"`gs.auth.service.account.json.keyfile`, `UNAUTHENTICATED` has none, for emulators and public buckets.",
	})

	GSKeyFile = stringOption(spec[string]{
		Key: "gs.auth.service.account.json.keyfile", Built: true,
		Doc: "File with the key of a service account, for `gs.auth.type: SERVICE_ACCOUNT_JSON_KEYFILE`.",
	})

	GSChunkSize = sizeOption(spec[int64]{
		Key: "gs.writer.chunk.size", Default: new(int64(8 << 20)), Built: true,
		Check: func(v int64) error {
			if v < 256<<10 || v > 1<<30 || v%(256<<10) != 0 {
				return errors.New("not a multiple of 256 kb between 256 kb and 1 gb")
			}
			return nil
		},
		Doc: "Size of the pieces that a large file is uploaded in. A file that is being written takes up to three of them of memory.",
	})

	AzureEndpoint = stringOption(spec[string]{
		Key: "fs.azure.endpoint", Built: true, Check: checkURL,
		Doc: "URL of the blob service for all accounts, `http://127.0.0.1:10000/devstoreaccount1` for an emulator. Unset: the host in the path's URL. " +
			"Keys are set by account: `fs.azure.account.key.<account>.blob.core.windows.net`; a shared access signature by container: " +
			"`fs.azure.sas.<container>.<account>.blob.core.windows.net`. With neither the SDK's chain is asked (environment, workload and managed identity, `az`).",
	})

	AzureBlockSize = sizeOption(spec[int64]{
		Key: "fs.azure.write.request.size", Default: new(int64(8 << 20)), Built: true,
		Check: func(v int64) error {
			if v < 64<<10 || v > 1<<30 {
				return errors.New("not between 64 kb and 1 gb")
			}
			return nil
		},
		Doc: "Size of the blocks that a large file is uploaded in. A file that is being written takes up to three of them of memory.",
	})

	HadoopConf = stringOption(spec[string]{
		Key: "fs.hdfs.hadoopconf", Aliases: []string{"env.hadoop.conf.dir"}, Built: true,
		Doc: "Directory of Hadoop's `core-site.xml` and `hdfs-site.xml`, which name the machines of a nameservice. Unset: `HADOOP_CONF_DIR`, or `HADOOP_HOME`.",
	})

	HDFSUser = stringOption(spec[string]{
		Key: "hdfs.user", Built: true,
		Doc: "User that HDFS is told. Unset: `HADOOP_USER_NAME`, or the user of the process.",
	})
)

// GSAuthType says how Google's storage is told who asks.
type GSAuthType uint8

const (
	GSApplicationDefault GSAuthType = iota // as Google's tools do
	GSKeyFileAuth                          // by GSKeyFile
	GSUnauthenticated                      // not at all
)

var gsAuths = &enum[GSAuthType]{names: [][]string{{"APPLICATION_DEFAULT"}, {"SERVICE_ACCOUNT_JSON_KEYFILE"}, {"UNAUTHENTICATED"}}}

func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("not a URL; write one such as http://127.0.0.1:9000")
	}
	if u.User != nil {
		return errors.New("a URL with a user in it; there are options for keys")
	}
	return nil
}

// storePrefixes begin the keys of stores.
var storePrefixes = []string{"s3.", "s3a.", "gs.", "fs.", "azure.", "hdfs.", ownPrefix}

// openPrefixes begin keys of which the rest is up to the user.
var openPrefixes = []string{"fs.azure.account.key.", "fs.azure.sas."}

// ownPrefix begins the keys for a storage that the program has registered: storage.<name>.<key>.
const ownPrefix = "storage."

// isOpen reports whether a key is one of those that are not declared one by one.
func isOpen(key string) bool {
	if hasAnyPrefix(key, openPrefixes) {
		return true
	}
	rest, own := strings.CutPrefix(key, ownPrefix)
	name, _, more := strings.Cut(rest, ".")
	return own && more && storages.known(name) && name != JobManagerStorage.String() && name != FilesystemStorage.String()
}

// checkpointDir returns the directory of the checkpoints, with its scheme if it is not a local one.
func (c *Config) checkpointDir() string {
	dir := plainPath(Get(c, CheckpointDir))
	kind := c.storage()
	if kind <= FilesystemStorage || storage.Scheme(dir) != "" {
		return dir
	}
	if dir == "" {
		dir = "checkpoints"
	}
	return fmt.Sprintf("%v://%s", kind, strings.TrimLeft(dir, "/"))
}

// plain writes a value for programs: a size in bytes.
func (d *declaration) plain(v any) string {
	if bytes, ok := v.(int64); ok {
		return strconv.FormatInt(bytes, 10)
	}
	return d.text(v)
}

// Storage returns the configuration for stores: the value of every option that has one, as text, sizes in bytes.
func (c *Config) Storage() storage.Config {
	values := map[string]string{}
	for _, d := range options() {
		if v, ok := c.values[d]; ok {
			values[d.key] = d.plain(v.parsed)
		} else if d.defValue != nil {
			values[d.key] = d.plain(d.defValue)
		}
	}
	for key, s := range c.open {
		values[key] = s.value
	}
	return storage.NewConfig(values)
}

// checkMarker refuses what could not be found in a path again, or would change its directories.
func checkMarker(marker string) error {
	if strings.ContainsAny(marker, `/\~#@*+%{}<>[]|"`) {
		return errors.New("a marker consists of letters, digits, underscores and the like")
	}
	return nil
}
