package lint

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryPackageSaysWhatItIsFor: one comment, which begins with the package's name.
func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range load(t).sorted() {
		var comments []*file
		for _, f := range p.files {
			if !f.test && f.syntax.Doc != nil {
				comments = append(comments, f)
			}
		}
		switch {
		case p.name == "": // tests only
		case len(comments) == 0:
			t.Errorf("package %s has no package comment: say which question it answers", p.path)
		case len(comments) > 1:
			t.Errorf("package %s has package comments in %s and in %s: keep one", p.path, comments[0].path, comments[1].path)
		case p.name != "main" && !strings.HasPrefix(comments[0].syntax.Doc.Text(), "Package "+p.name+" "):
			t.Errorf("%s: the package comment does not begin with %q", comments[0].path, "Package "+p.name)
		}
	}
}

// TestExportedNamesAreDocumented: a function, method or type has a comment of its own; a constant or variable may share its group's.
// Methods that say what the standard library makes of them need none.
func TestExportedNamesAreDocumented(t *testing.T) {
	for _, p := range load(t).sorted() {
		for _, f := range p.files {
			if f.test || p.name == "main" {
				continue
			}
			for _, d := range f.syntax.Decls {
				for _, n := range undocumented(d) {
					t.Errorf("%s: %s has no comment: say what is guaranteed, what is not, and who owns what afterwards", position(t, n), n.Name)
				}
			}
		}
	}
}

func undocumented(d ast.Decl) (names []*ast.Ident) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !wellKnown(d) {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			names = append(names, undocumentedSpec(d, s)...)
		}
	}
	return names
}

func undocumentedSpec(d *ast.GenDecl, s ast.Spec) (names []*ast.Ident) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if s.Doc == nil && d.Doc == nil && s.Name.IsExported() {
			names = append(names, s.Name)
		}
	case *ast.ValueSpec:
		if s.Doc != nil || s.Comment != nil || d.Doc != nil {
			return nil
		}
		for _, n := range s.Names {
			if n.IsExported() {
				names = append(names, n)
			}
		}
	}
	return names
}

func wellKnown(d *ast.FuncDecl) bool {
	switch d.Name.Name {
	case "String", "Error", "Unwrap":
		return d.Recv != nil
	}
	return false
}

// exportedReceiver reports whether a function has no receiver, or one that others can name.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	x := d.Recv.List[0].Type
	for {
		switch t := x.(type) {
		case *ast.StarExpr:
			x = t.X
		case *ast.IndexExpr:
			x = t.X
		case *ast.IndexListExpr:
			x = t.X
		case *ast.Ident:
			return t.IsExported()
		default:
			return false
		}
	}
}

// TestNothingIsLeftForLater: what is not done is an issue, or said in the README; a note in the source is forgotten.
func TestNothingIsLeftForLater(t *testing.T) {
	marks := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	tree := load(t)
	for _, p := range tree.sorted() {
		for _, f := range p.files {
			for _, group := range f.syntax.Comments {
				if m := marks.FindString(group.Text()); m != "" {
					t.Errorf("%s: a comment says %s", position(t, group), m)
				}
			}
		}
	}
	for _, name := range tree.texts {
		if path.Ext(name) != ".md" && path.Base(name) != "Makefile" {
			continue
		}
		if m := marks.FindString(read(t, name)); m != "" {
			t.Errorf("%s: says %s", name, m)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestLinksLeadSomewhere: a file that the documentation points to is there, and so is the heading.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`|(?m)^    .*$")
	for _, name := range load(t).texts {
		if path.Ext(name) != ".md" {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(read(t, name), ""), -1) {
			target, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			to := name
			if target != "" {
				to = path.Join(path.Dir(name), target)
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(to))); err != nil {
				t.Errorf("%s points to %s, which is not there", name, m[1])
			} else if heading != "" && !hasHeading(read(t, to), heading) {
				t.Errorf("%s points to %s, but %s has no such heading", name, m[1], to)
			}
		}
	}
}

// hasHeading reports whether a page has a heading that links know under this name.
func hasHeading(page, anchor string) bool {
	notInAnchor := regexp.MustCompile(`[^\p{L}\p{N}\- _]`)
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		text := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
		if strings.ReplaceAll(notInAnchor.ReplaceAllString(text, ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}

// TestMapIsComplete: ARCHITECTURE.md has a line for each package, and none for what is not there.
func TestMapIsComplete(t *testing.T) {
	_, after, _ := strings.Cut(read(t, "ARCHITECTURE.md"), "```\n")
	block, _, _ := strings.Cut(after, "```")
	listed := map[string]bool{}
	for line := range strings.Lines(block) {
		if name, _, ok := strings.Cut(line, " "); ok {
			listed[name] = true
		}
	}
	for _, p := range load(t).sorted() {
		name := p.path
		if name == door {
			name = "."
		}
		if !listed[name] && !within(name, "bench/*") {
			t.Errorf("the map in ARCHITECTURE.md has no line for %s", name)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("the map in ARCHITECTURE.md has a line for %s, which is not there", name)
	}
}
