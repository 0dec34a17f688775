package tests

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// goPackage is what go list says about a package: direct imports only.
type goPackage struct {
	ImportPath string
	Imports    []string
}

// module is the prefix of our own import paths.
const module = "s3mount/"

// ownImports lists which packages of ours a package may import. A package
// that is not listed may import none of ours; the command may import all.
var ownImports = map[string][]string{
	"fs":                 {"internal/names", "transfer"},
	"internal/names":     {"transfer", "internal/attrs", "internal/s3", "internal/sum"},
	"internal/attrs":     {"internal/s3"},
	"transfer":           {"cache", "cache/disk", "transfer/plan", "transfer/journal", "internal/mem", "internal/s3", "internal/sum"},
	"transfer/plan":      {},
	"transfer/journal":   {"transfer/plan", "internal/mem", "internal/sum"},
	"cache":              {"cache/disk", "internal/mem"},
	"cache/disk":         {"internal/mem"},
	"internal/s3":        {"internal/sum"},
	"internal/sum":       {},
	"internal/s3/s3test": {"internal/s3", "internal/sum"},
	"internal/embed":     {},
	"internal/mem":       {},
	"tests":              {"internal/embed"},
	"bench":              {"bench/link", "bench/load", "bench/raw", "bench/report", "bench/rig", "internal/embed"},
	"bench/link":         {},
	"bench/load":         {},
	"bench/raw":          {},
	"bench/report":       {},
	"bench/rig":          {},
}

// onlyImporters lists who may import a library (by prefix of its path).
var onlyImporters = map[string][]string{
	"github.com/aws/":                  {"internal/s3", "internal/embed", "bench/raw"},
	"github.com/hanwen/go-fuse/":       {"fs"},
	"github.com/dgraph-io/ristretto/":  {"cache"},
	"github.com/zeebo/xxh3":            {"cache", "cache/disk"},
	"go.etcd.io/bbolt":                 {"transfer/journal", "internal/attrs"},
	"github.com/versity/versitygw/":    {"internal/embed"},
	"github.com/alecthomas/kong":       {"cmd/s3mount"},
	"s3mount/internal/embed":           {"cmd/s3mount", "tests", "bench"},
	"s3mount/internal/s3/s3test":       {},
	"github.com/minio/minio":           {},
	"github.com/coreos/go-systemd/v22": {"cmd/s3mount"},
}

// impure is what a package of decisions must not know.
var impure = []string{"os", "net", "time", "sync", "context", "math/rand", "io/fs", "syscall", "golang.org/x/"}

// TestImports holds the shape of the code: data moves fs, transfer, s3, with
// cache beside it, and call order is import order.
func TestImports(t *testing.T) {
	packages := listPackages(t)
	if len(packages) < 8 {
		t.Fatalf("go list finds %d packages only", len(packages))
	}
	for _, p := range packages {
		own := strings.TrimPrefix(p.ImportPath, module)
		for _, path := range p.Imports {
			if why := forbidden(own, path); why != "" {
				t.Errorf("%s imports %s: %s", own, path, why)
			}
		}
	}
}

func forbidden(own, path string) string {
	if rel, ours := strings.CutPrefix(path, module); ours && own != "cmd/s3mount" && !slices.Contains(ownImports[own], rel) {
		return "it may import " + strings.Join(ownImports[own], ", ") + " of this module only"
	}
	for prefix, allowed := range onlyImporters {
		if strings.HasPrefix(path, prefix) && !slices.Contains(allowed, own) {
			return "only these may: " + strings.Join(allowed, ", ")
		}
	}
	if own == "transfer/plan" {
		for _, prefix := range impure {
			if path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/") {
				return "decisions are pure"
			}
		}
	}
	return ""
}

// TestForbidden shows that the rules bite.
func TestForbidden(t *testing.T) {
	for _, tt := range []struct {
		own, path string
		bad       bool
	}{
		{"fs", "s3mount/internal/s3", true},
		{"fs", "s3mount/transfer", false},
		{"cache", "s3mount/transfer", true},
		{"transfer", "github.com/aws/aws-sdk-go-v2/aws", true},
		{"internal/s3", "github.com/aws/aws-sdk-go-v2/aws", false},
		{"transfer/plan", "sync/atomic", true},
		{"transfer/plan", "sort", false},
		{"transfer", "s3mount/internal/s3/s3test", true},
		{"cmd/s3mount", "s3mount/fs", false},
		{"somewhere/new", "s3mount/cache", true},
	} {
		if why := forbidden(tt.own, tt.path); (why != "") != tt.bad {
			t.Errorf("%s imports %s: %q, want forbidden %v", tt.own, tt.path, why, tt.bad)
		}
	}
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.Command("go", "list", "-json=ImportPath,Imports", "s3mount/...")
	list.Dir = world.source
	out, err := list.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
