package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNamedTestsExist: each test that docs/SEMANTICS.md names for a promise is there, in the
// package that stands before it; without one in this package, or in go-fuse's posixtest.
func TestNamedTestsExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(world.source, "../docs/SEMANTICS.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{} // the tests of a package, one after the other
	tests := func(dir string) string {
		if _, ok := known[dir]; !ok {
			files, err := filepath.Glob(filepath.Join(world.source, "..", dir, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				source, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				known[dir] += string(source)
			}
		}
		return known[dir]
	}
	named := regexp.MustCompile("`(?:([a-z0-9/]+)\\.)?((?:Test|Fuzz)[A-Za-z0-9]+)(?:/[^`]*)?`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 200 {
		t.Fatalf("only %d tests are named", len(named))
	}
	for _, name := range named {
		dir := name[1]
		switch dir {
		case "":
			dir = "tests"
		case "names":
			dir = "internal/names"
		}
		if !strings.Contains(tests(dir), "func "+name[2]+"(") {
			t.Errorf("docs/SEMANTICS.md names %s, which is not there", name[0])
		}
	}
}
