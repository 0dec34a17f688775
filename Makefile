# s3mount. `make` alone prints the targets.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-print-directory

GO      ?= go
GOBIN   := $(shell $(GO) env GOPATH)/bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
BUILD   := $(GO) build -trimpath -ldflags "-X main.version=$(VERSION)"

# Pinned tools. MinIO and rclone are run, never linked.
MINIO       := v0.0.0-20260212201848-7aac2a2c5b7c
STATICCHECK := v0.8.2
RCLONE      := v1.75.1

# Limits, and how long to look for trouble.
TIMEOUT  ?= 14m
FUZZTIME ?= 30s

TEST_PACKAGES := fusermount3:fuse3 ffmpeg:ffmpeg rsync:rsync setfattr:attr python3:python3 unshare:util-linux diff:diffutils sqlite3:sqlite3
DEMO_PACKAGES := fusermount3:fuse3 ffmpeg:ffmpeg rsync:rsync
LONG_PACKAGES := chromium:chromium melt:melt systemd-analyze:systemd smbd:samba smbd:samba-vfs-modules smbclient:smbclient smbtorture:samba-testsuite
BENCH_PACKAGES := fusermount3:fuse3 ffmpeg:ffmpeg rsync:rsync s3fs:s3fs

.DEFAULT_GOAL := help
.PHONY: help tools build test test-long race lint fuzz bench microbench demo cross clean need-tests need-minio need-bench need-staticcheck

help: ## Print the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

tools: need-tests need-staticcheck ## Install what tests and lint need

build: ## Build bin/s3mount
	$(BUILD) -o bin/s3mount ./cmd/s3mount

test: need-tests ## Run all tests, against the embedded server and MinIO
	$(GO) test -count=1 -timeout $(TIMEOUT) ./...

test-long: need-tests need-bench ## Run all tests in their long form (hours)
	@.ci/packages $(LONG_PACKAGES)
	LONG=1 $(GO) test -count=1 -timeout 6h ./...

race: need-tests ## Run all tests with the race detector
	@.ci/packages cc:gcc cc:libc6-dev
	CGO_ENABLED=1 $(GO) test -race -count=1 -timeout $(TIMEOUT) ./...

lint: need-staticcheck ## gofmt, go vet, staticcheck; golangci-lint where it is installed
	@bad=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$bad" ] || { echo "not gofmt-ed:" $$bad; exit 1; }
	$(GO) vet ./...
	$(GOBIN)/staticcheck ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run; fi

fuzz: ## Run every fuzz test for FUZZTIME (30s)
	@for pkg in $$($(GO) list ./...); do \
	  for name in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$name"; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

bench: build need-bench ## Measure against rclone, s3fs and the raw SDK (docs/BENCHMARKS.md)
	@$(GO) build -trimpath -o bin/bench-s3mount ./bench
	@TOOLS=$(GOBIN) bin/bench-s3mount

microbench: ## Run the benchmarks of single packages
	$(GO) test -run '^$$' -bench . -benchmem -timeout 1h ./...

demo: build ## Footage into a bucket and back, checked, in a minute
	@.ci/packages $(DEMO_PACKAGES)
	@bin/s3mount demo --run

cross: ## Build for linux and macOS into dist/
	@for os_arch in linux/amd64 linux/arm64 darwin/arm64; do \
	  os=$${os_arch%/*} arch=$${os_arch#*/}; echo "dist/s3mount-$$os-$$arch"; \
	  CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(BUILD) -o dist/s3mount-$$os-$$arch ./cmd/s3mount; \
	done

clean: ## Remove what was built
	rm -rf bin dist

need-tests: need-minio
	@.ci/packages $(TEST_PACKAGES)

need-minio:
	@$(GO) version -m $(GOBIN)/minio 2>/dev/null | grep -F "$(MINIO)" >/dev/null || \
	  { echo "installing minio $(MINIO)"; CGO_ENABLED=0 GOBIN=$(GOBIN) $(GO) install github.com/minio/minio@$(MINIO); }

need-bench: need-minio
	@.ci/packages $(BENCH_PACKAGES)
	@$(GO) version -m $(GOBIN)/rclone 2>/dev/null | grep -F "$(RCLONE)" >/dev/null || \
	  { echo "installing rclone $(RCLONE)"; CGO_ENABLED=0 GOBIN=$(GOBIN) $(GO) install github.com/rclone/rclone@$(RCLONE); }

need-staticcheck:
	@$(GO) version -m $(GOBIN)/staticcheck 2>/dev/null | grep -F "$(STATICCHECK)" >/dev/null || \
	  { echo "installing staticcheck $(STATICCHECK)"; GOBIN=$(GOBIN) $(GO) install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK); }
