package lint

import (
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

// The vocabulary: packages of names, numbers and values, that have no opinion on how anything is done.
const names = "internal/job internal/keygroup internal/keyhash internal/element internal/metrics internal/exitcode internal/nearest internal/protocol/reason"

// The contracts: what users and connectors implement. They know nothing of each other or of the engine.
const contracts = "backend codec sink source storage window"

// The suites that implementations of a contract must pass, and what only tests need.
const suites = "internal/script internal/crashtest sink/sinktest source/sourcetest state/statetest storage/storagetest storage/internal/servers"

// forTests are all packages that no program may depend on.
const forTests = suites + " weirtest internal/sim"

// layers says what each package may import of this module. The first line that fits a package counts; a package that none fits fails
// the test, so that a new room gets its place here. Tests may import more, but see testsToo.
var layers = []layer{
	{"internal/protocol/reason internal/job internal/keygroup internal/keyhash internal/exitcode internal/metrics internal/nearest", "",
		"a name depends on nothing"},
	{"internal/element", "internal/job",
		"what travels knows names only"},
	{contracts, "",
		"a contract stands alone, so that whoever implements it needs to read nothing else"},
	{suites, contracts + " sink/* source/* storage/*",
		"a suite tests a contract through that contract alone"},
	{"storage/internal/object", "storage",
		"it is what stores of objects have in common, whoever makes them"},
	{"storage/*", "storage storage/internal/object",
		"a store uses public packages alone, as one that others write must"},
	{"source/pace", "",
		"it is arithmetic that any source may use"},

	{"codec/*", "codec",
		"a form by a library is registered with the codec and known to nobody else"},

	{"internal/stateform", "codec",
		"what state looks like is told by schemas, whoever keeps it"},

	// Decisions.
	{"internal/graph", names,
		"the shape of a job is decided before there is anything to run it"},
	{"internal/protocol/snapshot", names,
		"the form of a snapshot is what the other protocols talk about, not the reverse"},
	{"internal/protocol/plan", names + " codec internal/stateform internal/protocol/snapshot internal/protocol/assign",
		"a plan tells who gets which state and whether it fits; both are decided below it"},
	{"internal/protocol/coordinator", names + " internal/protocol/snapshot internal/protocol/sharing",
		"it decides about checkpoints; which files are still needed is decided below it"},
	{"internal/protocol/*", names + " internal/protocol/snapshot",
		"a protocol decides from values alone; who acts on its decisions is above it"},

	// Bytes.
	{"internal/storage/fs", "storage",
		"a file system knows bytes, not checkpoints"},
	{"internal/storage", names + " storage internal/storage/fs internal/protocol/snapshot internal/protocol/merging",
		"storage keeps snapshots; it does not know who takes them"},
	{"internal/storage/linefile", names + " storage internal/storage internal/protocol/line",
		"it keeps the record that protocol/line decides about, and nothing else"},

	{"internal/storage/byscheme", "storage",
		"it hands paths on by their scheme, whatever they are of"},
	{"internal/storage/garbage", names + " storage internal/storage internal/storage/fs internal/storage/byscheme internal/storage/linefile internal/protocol/snapshot internal/protocol/line",
		"it finds what neither records nor metadata refer to, and asks no job"},

	{"internal/storage/copies", names + " storage internal/storage internal/storage/fs internal/protocol/snapshot internal/protocol/backup",
		"it keeps copies of what storage keeps, and asks nobody else"},

	// State and work.
	{"internal/backend/pebble", "backend",
		"it is a backend like one that users write"},
	{"internal/backend/logged", names + " backend internal/backend/heap internal/backend/keyed internal/backend/transfer internal/protocol/snapshot internal/protocol/changelog",
		"it writes what others capture, as a protocol says"},
	{"internal/backend/transfer", names + " backend internal/protocol/snapshot",
		"files are moved without knowing what is in them or who has written them"},
	{"internal/backend", "backend internal/nearest",
		"it finds backends by their names"},
	{"internal/backend/native", names + " backend codec internal/stateform internal/protocol/snapshot internal/backend internal/backend/heap internal/backend/keyed internal/backend/logged internal/backend/transfer",
		"it has a backend read what the backend has written"},
	{"internal/backend/keyed", names + " codec internal/stateform internal/protocol/snapshot",
		"it is the form of keyed state, and knows no backend that has it"},
	{"internal/backend/heap", names + " backend codec internal/stateform internal/protocol/snapshot internal/backend/keyed",
		"state is below the work that uses it"},
	{"internal/runtime/spill", "",
		"bytes go to files and come back without anybody knowing what they are"},
	{"internal/runtime/exchange", names + " internal/runtime/spill",
		"batches move without knowing what is done with them"},
	{"internal/runtime/operator", names + " backend sink source internal/stateform internal/graph internal/protocol/snapshot internal/runtime/exchange internal/runtime/spill",
		"a step knows its neighbours and its state, not its task, where snapshots lie or who runs it"},
	{"internal/runtime/task", names + " sink source internal/protocol/snapshot internal/protocol/barrier internal/runtime/exchange internal/runtime/operator",
		"a task runs operators; it is told what to do and does not know by whom"},
	{"internal/runtime/program", names + " sink source internal/stateform internal/graph internal/protocol/snapshot internal/protocol/barrier internal/protocol/drain internal/runtime/*",
		"a program puts tasks together; how they are supervised is above it"},

	// Without a program.
	{"internal/inspect", names + " backend codec storage internal/stateform internal/storage internal/protocol/snapshot internal/protocol/line internal/backend/keyed internal/backend/logged internal/backend/native internal/runtime/operator",
		"it tells what is in a snapshot, and must know every form that has a page in docs/formats"},

	// Processes.
	{"internal/cluster/cli", names + " storage internal/cluster/config internal/inspect internal/storage internal/storage/* internal/protocol/snapshot internal/protocol/line",
		"a command takes arguments and prints; the work is done below it, and needs no job's program"},
	{"internal/cluster/config", "internal/nearest storage",
		"options are declared for everybody, so they depend on nobody"},
	{"internal/cluster/config/gendoc", "internal/cluster/config",
		"it prints what is declared there"},
	{"internal/cluster/view", names + " internal/protocol/coordinator",
		"what is shown is values; who runs the job fills them in, and who shows it knows no more"},
	{"internal/cluster/progress", names + " internal/graph internal/protocol/coordinator internal/runtime/operator internal/cluster/view",
		"it is told what happens and counted into, and shows it as values; it has no part in what happens"},
	{"internal/cluster/figures", names + " internal/protocol/coordinator internal/cluster/view",
		"it gives names to what a job tells of itself, whoever runs it"},
	{"internal/cluster/exposition", names + " internal/cluster/view internal/cluster/figures",
		"it writes what a job counts, whoever runs it"},
	{"internal/cluster/rest", names + " internal/protocol/coordinator internal/cluster/view internal/cluster/figures internal/cluster/exposition",
		"it answers from what jobs tell of themselves, whoever runs them"},
	{"internal/cluster/console", names + " internal/cluster/progress",
		"it shows what a job tells of itself and has no part in what happens"},
	{"internal/cluster/patience", "sink source storage internal/storage internal/storage/linefile",
		"it knows by errors alone what is worth another attempt"},
	{"internal/cluster/deal", names + " internal/graph internal/protocol/assign internal/protocol/snapshot",
		"who gets which state is decided below it, for a plan that it describes"},
	{"internal/cluster/committers", names + " sink internal/graph internal/protocol/line internal/protocol/snapshot internal/runtime/operator internal/runtime/program internal/cluster/deal internal/cluster/patience",
		"it deals with sinks and what they have prepared; when they recover is said above it"},
	{"internal/cluster/enumerators", names + " source internal/graph internal/protocol/splits internal/runtime/program internal/cluster/deal internal/cluster/patience",
		"it deals with sources and what they have handed out; who asks is above it"},
	{"internal/cluster/start", names + " sink storage internal/graph internal/protocol/* internal/storage internal/storage/* internal/runtime/operator internal/runtime/program internal/inspect internal/cluster/committers internal/cluster/config internal/cluster/deal internal/cluster/enumerators internal/cluster/patience",
		"it finds out how a job begins by what protocols say, and opens what is needed; nothing runs yet"},
	{"internal/cluster/jobmaster", names + " sink source storage internal/graph internal/protocol/* internal/storage internal/storage/* internal/runtime/operator internal/runtime/program internal/runtime/task internal/cluster/committers internal/cluster/config internal/cluster/deal internal/cluster/enumerators internal/cluster/patience internal/cluster/progress internal/cluster/start internal/cluster/view",
		"it decides for a job by what protocols say, and tells whoever runs the tasks; how that is done it does not know"},
	{"internal/cluster/local", names + " source storage internal/graph internal/protocol/barrier internal/protocol/snapshot internal/runtime/* internal/cluster/config internal/cluster/jobmaster internal/cluster/start",
		"it runs tasks and carries messages; what a job does next is the master's to say"},

	// What users see.
	{"state/pebble", "state internal/backend internal/backend/pebble",
		"it is imported by jobs that want Pebble, and by nobody else"},
	{"state", "backend codec internal/backend internal/backend/heap",
		"state handles are the backend's, with a name that users can write"},
	{"savepoint", names + " backend codec storage internal/backend/native internal/stateform internal/storage internal/storage/fs internal/storage/byscheme internal/protocol/snapshot internal/backend/heap internal/inspect",
		"it reads and writes snapshots by the handles of the backend, and runs no job"},
	{"checkpoint", "internal/cluster/config storage",
		"it gives names to options that are declared there"},
	{door, "checkpoint " + names + " state " + contracts + " internal/backend internal/backend/heap internal/backend/keyed internal/backend/logged internal/backend/native internal/backend/transfer internal/cluster/* internal/door internal/graph internal/stateform internal/protocol/snapshot internal/runtime/* internal/storage/fs internal/storage/byscheme",
		"the door leads to every room, but to no connector: a job imports those it uses"},

	{"internal/door", "storage internal/graph internal/cluster/jobmaster internal/cluster/local internal/cluster/start",
		"it is opened by the door and used by weirtest, and says what passes between them"},
	{"internal/sim", names + " sink source storage internal/protocol/snapshot internal/protocol/coordinator internal/runtime/task internal/storage/fs internal/cluster/jobmaster internal/cluster/local internal/cluster/start",
		"it is the scheduler and the machine of a job, and does not know how users write one"},
	{"weirtest", door + " " + names + " source sink storage connector/memory internal/door internal/sim internal/graph internal/protocol/assign internal/protocol/snapshot internal/runtime/* internal/storage internal/cluster/jobmaster internal/cluster/local",
		"it runs what users write, or one step of it, on something else than this machine"},

	{"cmd/weir", "internal/cluster/cli storage/azure storage/gcs storage/hdfs storage/s3 state/pebble",
		"a program of a few lines, so that all of it can be tested"},

	// Users.
	{"internal/crashtest/everything", door + " checkpoint state state/pebble " + contracts + " connector/*",
		"the job that tests kill uses what a user can use"},
	{"connector/*", contracts + " codec source/* connector/*",
		"connectors use public packages alone, as those that others write must"},
	{"examples/*", door + " checkpoint state " + contracts + " connector/*",
		"an example shows what a user can write, and users cannot import internal packages"},
	{"bench/internal/*", "bench/internal/*",
		"the limit is measured without the engine"},
	{"bench", door + " checkpoint state state/pebble " + contracts + " connector/* bench/internal/*",
		"what is measured is what users get: the public packages"},
	{"internal/lint", "",
		"it reads the others as text"},
}

// layer allows packages to import others of this module.
type layer struct{ packages, mayImport, why string }

// testsToo are the packages whose tests have to keep to the layers as well, beyond which they may use suites.
const testsToo = "connector/* examples/* bench bench/* internal/protocol/*"

// bans are what packages must not import of the standard library. Their tests may.
var bans = []ban{
	{"internal/protocol/* internal/graph", "net net/* os/exec os/signal sync sync/* math/rand math/rand/* log log/*",
		"a protocol is a pure struct: what it needs to know, the time and chance included, enters as an argument"},
	{"internal/runtime/* internal/backend/* internal/graph", "net net/*",
		"nothing below internal/cluster talks to a network"},
}

// ban forbids packages the import of others.
type ban struct{ packages, imports, why string }

// foreign are all packages from outside the standard library, each with those that may import them.
var foreign = []ban{
	{"connector/file", "github.com/klauspost/compress/*", "gzip and zstd, faster than the standard library's gzip, which has no zstd"},
	{"internal/backend/keyed", "github.com/klauspost/compress/s2", "snapshots compressed at the speed of a disk, which the standard library has nothing for"},
	{"internal/cluster/config", "go.yaml.in/yaml/v3", "config.yaml"},
	{"codec/protobuf weir", "google.golang.org/protobuf/*", "messages of protobuf as state, for jobs that import it; for a test of weir, messages that evolve"},
	{"codec/avro", "github.com/hamba/avro/v2", "records of Avro as state, for jobs that import it"},
	{"internal/storage/fs internal/storage/linefile internal/backend/heap bench bench/internal/measure", "golang.org/x/sys/*", "locks, memory outside the collector's heap, what the kernel counts"},
	{"internal/cluster/console", "golang.org/x/term", "the size of the terminal"},
	{"storage/gcs", "cloud.google.com/go/storage github.com/googleapis/* google.golang.org/api/*", "Google Cloud Storage: credentials, resumable uploads, generations"},
	{"storage/azure", "github.com/Azure/azure-sdk-for-go/*", "Azure's blobs: the many ways to credentials, blocks, ETags"},
	{"storage/hdfs", "github.com/colinmarc/hdfs/v2 github.com/colinmarc/hdfs/v2/*", "HDFS: its protocols"},
	{"storage/s3", "github.com/aws/*", "S3: multipart uploads, conditions on writes, the many ways to credentials"},
	{"internal/backend/pebble bench checkpoint", "github.com/cockroachdb/pebble/v2 github.com/cockroachdb/pebble/v2/*", "state larger than memory; for a test of checkpoint, a database that keeps checkpoints"},
}

// calls are functions that packages must not call. Tests may.
var calls = []ban{
	{"internal/protocol/* internal/graph", "time.Now time.Since time.Until time.Sleep time.After time.AfterFunc time.NewTimer time.NewTicker time.Tick os.*",
		"a protocol has no clock and does no I/O: the present time is an argument"},
	{"internal/runtime/exchange internal/runtime/operator internal/backend/*", "time.Now time.Since time.Until time.Sleep",
		"the job's clock is Env.Now, which is virtual in tests; and nothing here waits"},
	{"codec connector/* internal/backend/* internal/graph internal/protocol/* internal/runtime/* internal/storage sink source source/pace state storage window", "os.Getenv os.LookupEnv os.Environ",
		"settings come through internal/cluster/config, which says where each came from"},
	{"checkpoint codec connector/* internal/backend/* internal/cluster/config internal/cluster/enumerators internal/cluster/jobmaster internal/cluster/local internal/cluster/start internal/graph internal/protocol/* internal/runtime/* internal/storage internal/storage/* sink source state storage window", "os.Exit log.Fatal log.Fatalf log.Fatalln",
		"a package returns its errors; only a program may end the process"},
}

func TestImportsKeepToTheLayers(t *testing.T) {
	for _, p := range load(t).sorted() {
		i := slices.IndexFunc(layers, func(l layer) bool { return within(p.path, l.packages) })
		if i < 0 {
			t.Errorf("package %s has no line in the table layers: say there what it may import, and why", p.path)
			continue
		}
		for _, f := range p.files {
			checkLayer(t, p, f, layers[i])
		}
	}
}

func checkLayer(t *testing.T, p *pkg, f *file, l layer) {
	allowed := l.mayImport
	if f.test {
		if !within(p.path, testsToo) {
			return
		}
		allowed += " " + forTests + " " + p.path
	}
	for _, imported := range f.imports() {
		if ours(t, imported) && !within(imported, allowed) {
			t.Errorf("%s imports %s, which %s may not: %s", f.path, imported, p.path, l.why)
		}
	}
}

func ours(t *testing.T, importPath string) bool { return load(t).packages[importPath] != nil }

// TestSuitesAreForTests: what only tests need is in no program.
func TestSuitesAreForTests(t *testing.T) {
	for _, p := range load(t).sorted() {
		if within(p.path, forTests) {
			continue
		}
		for _, f := range p.files {
			for _, imported := range f.imports() {
				if !f.test && within(imported, forTests) {
					t.Errorf("%s imports %s, which is for tests", f.path, imported)
				}
			}
		}
	}
}

func TestBannedImports(t *testing.T) {
	for _, p := range load(t).sorted() {
		for _, b := range bans {
			if !within(p.path, b.packages) {
				continue
			}
			for _, f := range p.files {
				for _, imported := range f.imports() {
					if !f.test && within(imported, b.imports) {
						t.Errorf("%s imports %s: %s", f.path, imported, b.why)
					}
				}
			}
		}
	}
}

// TestForeignImports: each package from elsewhere has a reason and a place.
func TestForeignImports(t *testing.T) {
	for _, p := range load(t).sorted() {
		for _, f := range p.files {
			for _, imported := range f.imports() {
				if isForeign(imported) && !foreignAllowed(p.path, imported) {
					t.Errorf("%s imports %s: packages from outside the standard library are few, each with a reason in the table foreign", f.path, imported)
				}
			}
		}
	}
}

// isForeign reports whether an import is neither of this module nor of the standard library, whose paths begin without a dot.
func isForeign(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return strings.Contains(first, ".")
}

func foreignAllowed(p, imported string) bool {
	return slices.ContainsFunc(foreign, func(b ban) bool { return within(imported, b.imports) && within(p, b.packages) })
}

func TestBannedCalls(t *testing.T) {
	for _, p := range load(t).sorted() {
		for _, b := range calls {
			if !within(p.path, b.packages) {
				continue
			}
			for _, f := range p.files {
				if !f.test {
					checkCalls(t, f, b)
				}
			}
		}
	}
}

func checkCalls(t *testing.T, f *file, b ban) {
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := s.X.(*ast.Ident); ok && importsAs(f, x.Name) && within(x.Name+"."+s.Sel.Name, b.imports) {
			t.Errorf("%s uses %s.%s: %s", position(t, n), x.Name, s.Sel.Name, b.why)
		}
		return true
	})
}

// importsAs reports whether a name is that of a package of the standard library in a file. No file gives them other names.
func importsAs(f *file, name string) bool { return slices.Contains(f.imports(), name) }

// TestProtocolsStartNothing: no goroutine, channel or lock in a package that decides.
func TestProtocolsStartNothing(t *testing.T) {
	for _, p := range load(t).sorted() {
		if !within(p.path, "internal/protocol/* internal/graph") {
			continue
		}
		for _, f := range p.files {
			if f.test {
				continue
			}
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				switch n.(type) {
				case *ast.GoStmt, *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
					t.Errorf("%s: a protocol has no goroutine and no channel: it appends actions, and its driver performs them", position(t, n))
				}
				return true
			})
		}
	}
}

func position(t *testing.T, n ast.Node) string {
	return strings.TrimPrefix(load(t).fset.Position(n.Pos()).String(), root+"/")
}

// TestPlainJobStaysSmall: what the word count needs from elsewhere is listed here in full. Clients of object stores, message queues and
// clusters live in packages that a job imports if it wants them.
func TestPlainJobStaysSmall(t *testing.T) {
	want := []string{
		"github.com/klauspost/compress/gzip",
		"github.com/klauspost/compress/s2",
		"github.com/klauspost/compress/zstd",
		"go.yaml.in/yaml/v3",
		"golang.org/x/sys/unix",
		"golang.org/x/sys/windows",
		"golang.org/x/term",
	}
	for _, imported := range foreignBelow(load(t), "examples/wordcount") {
		if !slices.Contains(want, imported) {
			t.Errorf("examples/wordcount depends on %s: a plain job must compile fast and stay small, so what most jobs do without goes into a package that is imported on purpose", imported)
		}
	}
}

// foreignBelow returns what a package and those of this module below it import from elsewhere.
func foreignBelow(t *tree, from string) []string {
	found, seen := map[string]bool{}, map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		p := t.packages[path]
		if p == nil || seen[path] {
			if p == nil && isForeign(path) {
				found[path] = true
			}
			return
		}
		seen[path] = true
		for _, f := range p.files {
			if f.test {
				continue
			}
			for _, imported := range f.imports() {
				visit(imported)
			}
		}
	}
	visit(from)
	return slices.Sorted(maps.Keys(found))
}
