package hdfs

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir/storage"
)

// The forms of paths.
func TestSplit(t *testing.T) {
	for full, want := range map[string][2]string{
		"hdfs://nn:8020/a/b": {"nn:8020", "/a/b"},
		"hdfs://shop/a//b/":  {"shop", "/a/b"},
		"hdfs:///a":          {"", "/a"},
		"hdfs:/a":            {"", "/a"},
		"hdfs://nn":          {"nn", "/"},
	} {
		if host, name, err := split(full); err != nil || host != want[0] || name != want[1] {
			t.Errorf("%s: %q, %q, %v", full, host, name, err)
		}
	}
}

func open(t *testing.T, conf string) storage.FS {
	t.Setenv("HADOOP_CONF_DIR", "")
	t.Setenv("HADOOP_HOME", "")
	dir := t.TempDir()
	text := "<configuration>" + conf + "</configuration>"
	if err := os.WriteFile(filepath.Join(dir, "core-site.xml"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	fs, err := Open(t.Context(), storage.NewConfig(map[string]string{"hdfs.user": "weir", "fs.hdfs.hadoopconf": dir}))
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// What keeps a NameNode from being reached is told with what to do, and proves nothing.
func TestErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there now
	for _, c := range []struct{ name, conf, path, want string }{
		{"nobody listens", "", "hdfs://" + l.Addr().String() + "/a", "look at the network"},
		{"no NameNode is named", "", "hdfs:///a", "HADOOP_CONF_DIR"},
		{"Kerberos", "<property><name>hadoop.security.authentication</name><value>kerberos</value></property>", "hdfs://nn:8020/a", "Kerberos"},
		{"no URL", "", "/a", "a path such as hdfs://"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := open(t, c.conf).Open(t.Context(), c.path)
			if err == nil || !strings.HasPrefix(err.Error(), "open "+c.path+": ") || !strings.Contains(err.Error(), c.want) || errors.Is(err, storage.ErrNotExist) {
				t.Errorf("%v; want %q in it", err, c.want)
			}
		})
	}
}

// A NameNode that does not answer holds nobody up once the context is done.
func TestDeadline(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		c, err := l.Accept()
		if err == nil {
			defer c.Close()
		}
		cancel()
		<-t.Context().Done()
	}()
	if _, err := open(t, "").List(ctx, "hdfs://"+l.Addr().String()+"/a"); !errors.Is(err, context.Canceled) {
		t.Errorf("List: %v", err)
	}
}
