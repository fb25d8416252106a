# Targets only call the go tool. .ci/run is what must pass before a merge.

FUZZTIME ?= 30s
RUNS     ?= 5
SEEDS    ?= 5000

.PHONY: test short race lint golden soak simulate bench integration large-state

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
	go test ./codec ./internal/backend/heap ./internal/cluster/cli ./internal/cluster/config ./internal/protocol/barrier ./internal/protocol/coordinator ./internal/protocol/failover ./internal/protocol/line ./internal/protocol/snapshot ./internal/storage -update
	go generate ./internal/cluster/config

soak: simulate ## play SEEDS seeds of each simulation, then fuzz every decoder in turn, FUZZTIME each
	@go list ./... | while read -r package; do \
		go test "$$package" -list '^Fuzz' | grep '^Fuzz' | while read -r target; do \
			go test "$$package" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) || exit 1; \
		done || exit 1; \
	done

simulate: ## play SEEDS seeds of each simulation: an hour or so
	go test ./internal/sim -timeout 0 -weir.seeds=$(SEEDS)
	go test . -run 'ExactlyOnce|AtLeastOnce|Stories|Checkpoints' -timeout 0 -weir.seeds=$(SEEDS) -stories=$(SEEDS)

bench: ## every workload against its limit, RUNS each: minutes to hours
	go run -C bench . keyed-count -runs $(RUNS)
	go run -C bench . stateless -runs $(RUNS)
	go run -C bench . state -runs $(RUNS)
	go run -C bench . checkpoint-time -runs $(RUNS)
	go run -C bench . latency -runs $(RUNS)

large-state: ## 4 GB of state on Pebble in 512 MiB of memory: minutes, and root for the control group
	TMPDIR=$${TMPDIR:-/var/tmp} WEIR_TEST_LARGE_STATE=4294967296 go test -timeout 20m -v -run TestStateOf4GBIn512MB ./internal/backend/heap

integration: ## real stores, built or installed once into the user's cache: an S3 service, emulators of Google's and Azure's, HDFS
	go test -tags integration -timeout 30m ./storage/...
