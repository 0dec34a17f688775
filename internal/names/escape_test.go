package names

import (
	"strings"
	"testing"
)

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", ".", "..", "%", "%00", "%2500", "%2E", "%25", "%2525", "a", "a%file", "a%25file", "%file", "%25file", "%2E%2E", "%252E", strings.Repeat("ü", 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsAny(s, "/\x00") {
			return
		}
		l := &longNames{real: map[string]string{}}
		name := l.show(s)
		if name == "" || name == "." || name == ".." || len(name) > maxName {
			t.Fatalf("%q is shown as %q", s, name)
		}
		if got := l.component(name); got != s {
			t.Fatalf("%q is shown as %q, which stands for %q", s, name, got)
		}
		if s != "" && s != "." && s != ".." && len(s) <= maxName && !ambiguous(s) && (name != s || l.component(s) != s) {
			t.Fatalf("a file %q is shown as %q, and its key is %q", s, name, l.component(s))
		}
		if twin := name + fileTwin; len(twin) <= maxName {
			if got, ok := unescape(twin); ok && l.component(twin) != s {
				t.Fatalf("%q stands for %q, want %q", twin, got, s)
			}
		}
	})
}

func TestAmbiguous(t *testing.T) {
	for name, want := range map[string]bool{"a": false, "100%": false, "%": false, "%0": false, "%00": true, "x%file": true, "%2E": true, "%25": false, "%2520": false, "%252E": true, "%25file": true, "%20": false} {
		if got := ambiguous(name); got != want {
			t.Errorf("ambiguous(%q) = %v", name, got)
		}
	}
}
