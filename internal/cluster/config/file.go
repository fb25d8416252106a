package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// flatName is the file name that selects the old format.
const flatName = "flink-conf.yaml"

// File reads a site's configuration file. See [ParseFile].
func File(path string) *Layer {
	data, err := os.ReadFile(path)
	if err != nil {
		return &Layer{rank: rankSite, errs: []error{fmt.Errorf("read the configuration: %w", err)}}
	}
	return ParseFile(path, data)
}

// ParseFile returns the layer of a configuration file's content. The file is YAML whose keys may be nested or dotted or both;
// a value is a scalar or a list of scalars, and is taken as it is written. A file called flink-conf.yaml is in the old format
// instead: one "key: value" on each line, and '#' begins a comment anywhere. A key that occurs twice is an error. The path is
// for messages and for the choice of the format.
func ParseFile(path string, data []byte) *Layer {
	p := fileParser{path: path, layer: &Layer{rank: rankSite}, lineOf: map[string]int{}}
	if filepath.Base(path) == flatName {
		p.flat(string(data))
	} else {
		p.yaml(string(data))
	}
	return p.layer
}

type fileParser struct {
	path   string
	layer  *Layer
	lineOf map[string]int // where each key was set
}

func (p *fileParser) fail(line int, format string, args ...any) {
	p.layer.errs = append(p.layer.errs, fmt.Errorf("%s line %d: %w", p.path, line, fmt.Errorf(format, args...)))
}

func (p *fileParser) add(line int, key, value string, list bool) {
	if first, ok := p.lineOf[key]; ok {
		p.fail(line, "%s is set again; it is already set in line %d, remove one of the two", key, first)
		return
	}
	p.lineOf[key] = line
	origin := fmt.Sprintf("%s line %d", p.path, line)
	p.layer.settings = append(p.layer.settings, setting{key: key, value: value, origin: origin, list: list})
}

func (p *fileParser) flat(text string) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ": ")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || key == "" || value == "" {
			name, _, _ := strings.Cut(line, ":")
			p.fail(n, "%s is not followed by a colon, a space and a value", name) // the value may be a secret
			continue
		}
		p.add(n, key, value, false)
	}
}

func (p *fileParser) yaml(text string) {
	dec := yaml.NewDecoder(strings.NewReader(text))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return // empty, or comments only
	case err != nil:
		p.layer.errs = append(p.layer.errs, fmt.Errorf("%s: %w", p.path, err))
		return
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		p.layer.errs = append(p.layer.errs, fmt.Errorf("%s: more than one YAML document; keep the first and remove the rest", p.path))
		return
	}
	root := doc.Content[0]
	if isNull(root) {
		return
	}
	if root.Kind != yaml.MappingNode {
		p.fail(root.Line, "not a mapping; write \"key: value\" lines")
		return
	}
	p.mapping("", root)
}

// mapping adds what a mapping holds; prefix is "" or ends in a dot.
func (p *fileParser) mapping(prefix string, n *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || k.Value == "" || k.Tag == "!!merge" {
			p.fail(k.Line, "the key %s is not a plain word", prefix+"?")
			continue
		}
		p.value(prefix+k.Value, k.Line, v)
	}
}

func (p *fileParser) value(key string, line int, v *yaml.Node) {
	switch {
	case v.Kind == yaml.MappingNode:
		p.mapping(key+".", v)
	case isNull(v):
		p.fail(line, "%s has no value; give it one or remove the line", key)
	case v.Kind == yaml.ScalarNode:
		p.add(line, key, v.Value, false)
	case v.Kind == yaml.SequenceNode:
		p.sequence(key, line, v)
	default:
		p.fail(line, "%s is a YAML alias; write the value itself", key)
	}
}

func (p *fileParser) sequence(key string, line int, n *yaml.Node) {
	var elements []string
	for _, e := range n.Content {
		if e.Kind != yaml.ScalarNode || isNull(e) || strings.Contains(e.Value, ",") {
			p.fail(e.Line, "an element of the list %s is not a plain value without ','", key)
			return
		}
		elements = append(elements, e.Value)
	}
	p.add(line, key, strings.Join(elements, ","), true)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
