//go:build integration

package servers

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The versions that the tests are known to pass with.
const (
	versitygwVersion = "v1.8.0"
	minioVersion     = "v0.0.0-20260212201848-7aac2a2c5b7c"
	fakeGCSVersion   = "v1.56.1"
	azuriteVersion   = "3.35.0"
	hadoopVersion    = "3.5.0"
)

// Key and Secret are what the S3 service is started with.
const (
	Key    = "testkey12"
	Secret = "testsecret12"
)

// S3 starts an S3 service and returns its URL. It has no buckets. WEIR_S3_SERVER=minio takes MinIO, which takes minutes to build.
func S3(t *testing.T) (url string) {
	port, dir := freePort(t), t.TempDir()
	if os.Getenv("WEIR_S3_SERVER") == "minio" {
		bin := goBinary(t, "minio", "github.com/minio/minio", "github.com/minio/minio", minioVersion)
		start(t, port, []string{"MINIO_ROOT_USER=" + Key, "MINIO_ROOT_PASSWORD=" + Secret, "MINIO_UPDATE=off", "MINIO_BROWSER=off"},
			bin, "server", "--address", "127.0.0.1:"+port, dir)
	} else {
		bin := goBinary(t, "versitygw", "github.com/versity/versitygw", "github.com/versity/versitygw/cmd/versitygw", versitygwVersion)
		start(t, port, []string{"ROOT_ACCESS_KEY=" + Key, "ROOT_SECRET_KEY=" + Secret}, bin, "--port", "127.0.0.1:"+port, "posix", dir)
	}
	return "http://127.0.0.1:" + port
}

// GCS starts an emulator of Google Cloud Storage and returns its URL. It has no buckets.
func GCS(t *testing.T) (url string) {
	bin := goBinary(t, "fake-gcs-server", "github.com/fsouza/fake-gcs-server", "github.com/fsouza/fake-gcs-server", fakeGCSVersion)
	port := freePort(t)
	url = "http://127.0.0.1:" + port
	start(t, port, nil, bin, "-scheme", "http", "-host", "127.0.0.1", "-port", port, "-backend", "filesystem", "-filesystem-root", t.TempDir(),
		"-external-url", url, "-public-host", "127.0.0.1:"+port, "-log-level", "error")
	return url
}

// The account that every Azurite has.
const (
	AzureAccount = "devstoreaccount1"
	AzureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// Azure starts an emulator of Azure's blob service and returns the URL of its account. It has no containers.
func Azure(t *testing.T) (url string) {
	dir := made(t, "azurite-"+azuriteVersion, func(dir string) *exec.Cmd {
		return command(t, dir, "npm", "install", "--no-audit", "--no-fund", "--prefix", dir, "azurite@"+azuriteVersion)
	})
	port := freePort(t)
	start(t, port, nil, tool(t, "node"), filepath.Join(dir, "node_modules/.bin/azurite-blob"),
		"--blobHost", "127.0.0.1", "--blobPort", port, "--silent", "--skipApiVersionCheck", "-l", t.TempDir())
	return "http://127.0.0.1:" + port + "/" + AzureAccount
}

// HDFS starts a NameNode with a DataNode and returns the address of the former.
func HDFS(t *testing.T) (address string) {
	java := tool(t, "java")
	dir := made(t, "hdfs-"+hadoopVersion, func(dir string) *exec.Cmd {
		write(t, filepath.Join(dir, "pom.xml"), strings.ReplaceAll(pom, "VERSION", hadoopVersion))
		return command(t, dir, "mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib")
	})
	files := t.TempDir()
	write(t, filepath.Join(files, "Cluster.java"), cluster)
	port := freePort(t)
	start(t, port, nil, java, "-Xmx512m", "-cp", filepath.Join(dir, "lib", "*"), filepath.Join(files, "Cluster.java"), filepath.Join(files, "data"), port)
	return "127.0.0.1:" + port
}

const pom = `<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>weir</groupId><artifactId>servers</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>org.apache.hadoop</groupId><artifactId>hadoop-minicluster</artifactId><version>VERSION</version>
  </dependency></dependencies>
</project>
`

// cluster is a program of one file, which java compiles when it runs it. It opens the NameNode's port before a DataNode has reported, so a
// client may have to try again.
const cluster = `
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.hdfs.server.namenode.NameNodeAdapter;

public class Cluster {
    public static void main(String[] args) throws Exception {
        Configuration conf = new Configuration();
        conf.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, args[0]);
        conf.setInt("dfs.replication", 1);
        conf.setBoolean("dfs.permissions.enabled", false);
        conf.setInt("dfs.heartbeat.interval", 1);
        conf.setBoolean("dfs.namenode.redundancy.considerLoad", false); // the only DataNode is never too busy
        conf.setInt("dfs.namenode.lease-recheck-interval-ms", 500);
        MiniDFSCluster cluster = new MiniDFSCluster.Builder(conf).nameNodePort(Integer.parseInt(args[1])).numDataNodes(1).build();
        cluster.waitActive();
        NameNodeAdapter.setLeasePeriod(cluster.getNamesystem(), 1000, 60000);
        System.out.println("ready");
        Thread.sleep(Long.MAX_VALUE);
    }
}
`

// cache returns the folder of what is built.
func cache(t *testing.T) string {
	if dir := os.Getenv("WEIR_SERVERS"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("there is no cache folder for servers; WEIR_SERVERS names one: %v", err)
	}
	return filepath.Join(dir, "weir-servers")
}

// tool returns the path of a program, or skips the test.
func tool(t *testing.T, name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is needed and not installed", name)
	}
	return path
}

func command(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	c := exec.Command(tool(t, name), args...)
	c.Dir = dir
	return c
}

func write(t *testing.T, name, text string) {
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// made returns the folder of that name in the cache. If it is not there yet, it is made under another name, so that what was interrupted is not
// taken for complete.
func made(t *testing.T, name string, steps ...func(dir string) *exec.Cmd) string {
	dir := filepath.Join(cache(t), name)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(cache(t), 0o777); err != nil {
		t.Skipf("the folder for servers: %v", err)
	}
	temp, err := os.MkdirTemp(cache(t), name+"-")
	if err != nil {
		t.Skipf("the folder for servers: %v", err)
	}
	defer os.RemoveAll(temp)
	t.Logf("%s is made once; this takes a while", dir)
	for _, step := range steps {
		c := step(temp)
		if out, err := c.CombinedOutput(); err != nil {
			t.Skipf("%s cannot be made here: %v: %v\n%s", name, c.Args, err, tail(out))
		}
	}
	if err := os.Rename(temp, dir); err != nil {
		if _, there := os.Stat(dir); there != nil { // another test has been faster
			t.Fatal(err)
		}
	}
	return dir
}

// goBinary returns a program built from a module. Modules with replace directives cannot be installed by name, so it becomes a tool of a module
// that is made for it.
func goBinary(t *testing.T, name, module, pkg, version string) string {
	dir := made(t, name+"-"+version,
		func(dir string) *exec.Cmd { return command(t, dir, "go", "mod", "init", "servers") },
		func(dir string) *exec.Cmd { return command(t, dir, "go", "get", "-tool", pkg+"@"+version) },
		func(dir string) *exec.Cmd { return command(t, dir, "go", "build", "-o", name, pkg) },
	)
	return filepath.Join(dir, name)
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// start runs a server until the end of the test, and returns when it listens.
func start(t *testing.T, port string, env []string, name string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), env...)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		c.Process.Kill()
		<-ended
		ended <- nil
		log.Close()
	})
	const patience = 2 * time.Minute // a JVM on a busy machine
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			out, _ := os.ReadFile(log.Name())
			t.Fatalf("%s has ended: %v\n%s", name, err, tail(out))
		default:
		}
		if time.Since(begun) > patience {
			out, _ := os.ReadFile(log.Name())
			t.Fatalf("%s does not listen after %v\n%s", name, patience, tail(out))
		}
	}
}

func tail(out []byte) string {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return fmt.Sprintf("%s", bytes.Join(lines[max(0, len(lines)-30):], []byte("\n")))
}
