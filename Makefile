# Targets only call the go tool. .ci/run is what must pass before a merge.

FUZZTIME ?= 30s
RUNS     ?= 5

.PHONY: test short race lint golden soak bench

test: ## the README's test command
	go test ./...

short: ## under a minute
	go test -short ./...

race:
	CGO_ENABLED=1 go test -race ./...

lint:
	go vet ./...
	go tool staticcheck ./...
	go test ./internal/lint

golden: ## rewrite scripts, golden files and the reference page; review the diff
	go test ./codec ./internal/backend/heap ./internal/cluster/config ./internal/protocol/barrier ./internal/protocol/coordinator ./internal/protocol/failover ./internal/protocol/line ./internal/protocol/snapshot ./internal/storage -update
	go generate ./internal/cluster/config

soak: ## fuzz every decoder, FUZZTIME each
	go test ./codec -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime $(FUZZTIME)
	go test ./codec -run '^$$' -fuzz '^FuzzParseSchema$$' -fuzztime $(FUZZTIME)
	go test ./internal/backend/heap -run '^$$' -fuzz '^FuzzRestore$$' -fuzztime $(FUZZTIME)
	go test ./internal/cluster/config -run '^$$' -fuzz '^FuzzParseDuration$$' -fuzztime $(FUZZTIME)
	go test ./internal/cluster/config -run '^$$' -fuzz '^FuzzParseSize$$' -fuzztime $(FUZZTIME)
	go test ./internal/cluster/config -run '^$$' -fuzz '^FuzzParseFile$$' -fuzztime $(FUZZTIME)
	go test ./internal/protocol/line -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime $(FUZZTIME)
	go test ./internal/protocol/snapshot -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime $(FUZZTIME)

bench: ## every workload against its limit, RUNS each: minutes to hours
	go run -C bench . keyed-count -runs $(RUNS)
	go run -C bench . stateless -runs $(RUNS)
	go run -C bench . state-update -runs $(RUNS)
	go run -C bench . checkpoint-cost -runs $(RUNS)
	go run -C bench . latency -runs $(RUNS)
	go run -C bench . restore -runs $(RUNS)
