package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	module = "github.com/weirstream/weir"
	root   = "../.." // of the module, seen from this package
	door   = "weir"  // what the package at the root of the module is called here
)

// tree is the whole module, read once for all tests. bench, a module of its own, belongs to it here.
type tree struct {
	fset     *token.FileSet
	packages map[string]*pkg // by path below the root; the root itself is door
	texts    []string        // all other files, by path below the root
}

// pkg is one folder of Go files.
type pkg struct {
	path  string
	name  string
	files []*file
}

type file struct {
	path   string
	test   bool
	syntax *ast.File
}

var readTree = sync.OnceValues(func() (*tree, error) {
	t := &tree{fset: token.NewFileSet(), packages: map[string]*pkg{}}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		return t.add(filepath.ToSlash(rel), name, d)
	})
	return t, err
})

func load(t *testing.T) *tree {
	t.Helper()
	tree, err := readTree()
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func (t *tree) add(rel, name string, d fs.DirEntry) error {
	switch {
	case d.IsDir() && rel != "." && (d.Name() == "testdata" || ignored(d.Name())):
		return filepath.SkipDir
	case d.IsDir() || !d.Type().IsRegular():
		return nil
	case path.Ext(rel) != ".go":
		t.texts = append(t.texts, rel)
		return nil
	}
	syntax, err := parser.ParseFile(t.fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := path.Dir(rel)
	if dir == "." {
		dir = door
	}
	p := t.packages[dir]
	if p == nil {
		p = &pkg{path: dir}
		t.packages[dir] = p
	}
	f := &file{path: rel, test: strings.HasSuffix(rel, "_test.go"), syntax: syntax}
	if !f.test {
		p.name = syntax.Name.Name
	}
	p.files = append(p.files, f)
	return nil
}

// ignored reports whether a folder is no part of the project: the version control's, or what a run of a job has left behind.
func ignored(name string) bool {
	return name == ".git" || strings.HasPrefix(name, "_") || strings.HasSuffix(name, "-out")
}

// sorted returns the packages by path.
func (t *tree) sorted() []*pkg {
	var all []*pkg
	for _, p := range t.packages {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *pkg) int { return strings.Compare(a.path, b.path) })
	return all
}

// imports returns what a file imports: packages of the module by their path below its root, others by their whole path.
func (f *file) imports() (paths []string) {
	for _, spec := range f.syntax.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // the parser has accepted it
		}
		paths = append(paths, inside(p))
	}
	return paths
}

func inside(importPath string) string {
	if importPath == module {
		return door
	}
	return strings.TrimPrefix(importPath, module+"/")
}

// within reports whether a path is one of those in a list, separated by spaces. "a/*" stands for all packages below a.
func within(p, list string) bool {
	for _, pattern := range strings.Fields(list) {
		below, ok := strings.CutSuffix(pattern, "*")
		if p == pattern || ok && strings.HasPrefix(p, below) {
			return true
		}
	}
	return false
}
