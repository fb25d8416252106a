// Package lint answers whether the source still has the shape that ARCHITECTURE.md describes. It consists of tests alone:
//
//   - layers_test.go: who may import whom. It is a statement of policy: change it in a commit of its own, with the argument.
//   - tidiness_test.go: every package says what it is for, every exported name is documented, every link in the documentation leads
//     somewhere.
//
// The tests read the source and run nothing, so they see the files of all platforms.
package lint
