package savepoint_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/weirstream/weir/savepoint"
	"github.com/weirstream/weir/state"
)

// account is the state of the step "accounts" of a job. It may be the processor itself.
type account struct {
	Balance state.Value[int64]         `state:"balance"`
	Limits  state.Map[string, float64] `state:"limits"`
}

// State for a job that has not run yet, from what was known before there was a job. The job is started with -s and the directory.
func ExampleAddKeyed() {
	ctx := context.Background()
	w := savepoint.New("bank")
	var p account
	accounts, err := savepoint.AddKeyed[string](w, "accounts", &p)
	if err != nil {
		panic(err)
	}
	for owner, balance := range map[string]int64{"ann": 120, "bob": -5} {
		accounts.Key(owner)
		p.Balance.Set(balance)
		p.Limits.Put("day", 1000)
	}
	dir := exampleDir()
	defer os.RemoveAll(dir)
	if err := w.Write(ctx, filepath.Join(dir, "first")); err != nil {
		panic(err)
	}

	s, err := savepoint.Open(ctx, filepath.Join(dir, "first"))
	if err != nil {
		panic(err)
	}
	for _, step := range s.Steps() {
		fmt.Println(step.Name, step.Key, step.States)
	}
	// Output:
	// accounts string [{balance value int64} {limits map map[string]float64}]
}

// What is in a savepoint, key by key.
func ExampleKeys() {
	ctx := context.Background()
	s, err := savepoint.Open(ctx, exampleSavepoint())
	if err != nil {
		panic(err)
	}
	var p struct { // some of the step's states
		Balance state.Value[int64] `state:"balance"`
	}
	var lines []string
	for owner, err := range savepoint.Keys[string](ctx, s, "accounts", &p) {
		if err != nil {
			panic(err)
		}
		lines = append(lines, fmt.Sprint(owner, " has ", p.Balance.Get()))
	}
	slices.Sort(lines)
	fmt.Println(lines)
	// Output:
	// [ann has 120 bob has -5]
}

// A correction of the state of a job that has been stopped with a savepoint. Everything else is copied.
func ExampleEditKeys() {
	ctx := context.Background()
	s, err := savepoint.Open(ctx, exampleSavepoint())
	if err != nil {
		panic(err)
	}
	w := savepoint.Copy(s)
	var p account // all of the step's states
	err = savepoint.EditKeys(w, "accounts", &p, func(owner string) error {
		if p.Balance.Get() < 0 {
			p.Balance.Set(0)
			p.Limits.Clear()
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	dir := exampleDir()
	defer os.RemoveAll(dir)
	if err := w.Write(ctx, filepath.Join(dir, "corrected")); err != nil {
		panic(err)
	}

	corrected, err := savepoint.Open(ctx, filepath.Join(dir, "corrected"))
	if err != nil {
		panic(err)
	}
	var lines []string
	for owner, err := range savepoint.Keys[string](ctx, corrected, "accounts", &p) {
		if err != nil {
			panic(err)
		}
		lines = append(lines, fmt.Sprint(owner, " has ", p.Balance.Get(), ", limits ", p.Limits.Len()))
	}
	fmt.Println(lines) // bob has no state any more
	// Output:
	// [ann has 120, limits 1]
}

func exampleDir() string {
	dir, err := os.MkdirTemp("", "savepoint")
	if err != nil {
		panic(err)
	}
	return dir
}

// exampleSavepoint is a savepoint of ann and bob.
func exampleSavepoint() string {
	w := savepoint.New("bank")
	var p account
	accounts, err := savepoint.AddKeyed[string](w, "accounts", &p)
	if err != nil {
		panic(err)
	}
	for owner, balance := range map[string]int64{"ann": 120, "bob": -5} {
		accounts.Key(owner)
		p.Balance.Set(balance)
		p.Limits.Put("day", 1000)
	}
	dir := filepath.Join(exampleDir(), "bank")
	if err := w.Write(context.Background(), dir); err != nil {
		panic(err)
	}
	return dir
}
