module github.com/weirstream/weir/bench

go 1.26.0

require (
	github.com/weirstream/weir v0.0.0
	golang.org/x/sys v0.49.0
)

require (
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/term v0.47.0 // indirect
)

replace github.com/weirstream/weir => ../
