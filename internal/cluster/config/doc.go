// Package config answers one question: which value does each option have, and who said so?
//
// An option is declared once, as a package variable with its type, default, old names, documentation and availability
// (checkpointing.go, recovery.go, restart.go, state.go, runtime.go, storage.go). A [Layer] holds what one party has said; [Load] puts
// layers together:
//
//	site := config.File("config.yaml")
//	code := config.Code()
//	config.Put(code, config.CheckpointInterval, 10*time.Second, "code (checkpoint.Every)")
//	operator := config.Operator()
//	operator.Define("execution.checkpointing.interval=30 s")
//	cfg, notes, err := config.Load(site, code, config.Environment(os.Environ()), operator)
//	cfg.Checkpointing().Interval // 30 s
//
// Invariants:
//
//   - Precedence grows: default, site file, code, environment, operator. Between layers the higher one wins, also when it
//     uses an option's old name; within one layer the option's own name wins over an old one. Using an old name gives a note.
//   - Nothing is accepted and ignored. An unknown key, a value that cannot be read, a contradiction and a value whose
//     feature is not built are errors; a Flink key that has no meaning here is listed in a note.
//   - [Load] reports all mistakes at once, each with key, value, origin and remedy. Keys are checked in every layer; values
//     only where they win, so that an operator can always override a bad value.
//   - No other package knows the name of a key. The runtime asks for a view ([Config.Checkpointing], [Config.Recovery],
//     [Config.Restart]) or for one option ([Get]).
//
// The environment variable of a key is WEIR_ and the key in upper case with '_' for '.' and '-':
// WEIR_EXECUTION_CHECKPOINTING_INTERVAL. The other direction is found by comparing with the declared names, which a test
// keeps distinct. An empty variable counts as not set. A WEIR_ variable that looks like an option and is none is an error;
// any other (Kubernetes makes WEIR_SERVICE_HOST for a service named weir) is listed in a note.
//
// A Layer belongs to one goroutine. A Config does not change and may be used by many.
package config

//go:generate go run ./gendoc -o ../../../docs/reference/config.md
