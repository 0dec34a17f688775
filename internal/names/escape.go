package names

import (
	"encoding/hex"
	"hash/fnv"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// A key is any string, a file name is not. A component of a key that cannot be a
// name is shown under an escaped one; everything else is shown as it is.
//
//	component of the key          name
//	"" (as in "a//b")             %00
//	.                             %2E
//	..                            %2E%2E
//	x, where "x/..." exists too   x%file
//	what looks like one of these  the same with "25" behind the %
//	more than 255 bytes           its beginning, %~ and 16 hex digits
//
// The last one is known only after the directory was listed; the others are
// reversible by themselves.
const (
	maxName  = 255
	empty    = "%00"
	fileTwin = "%file"
	longMark = "%~"
)

var (
	twinPattern = regexp.MustCompile(`%(25)*file$`)
	dotsPattern = regexp.MustCompile(`^%(25)*(00|2E|2E%2E)$`)
)

// escape is the name of a component of a key.
func escape(s string) string {
	switch {
	case s == "":
		return empty
	case s == ".":
		return "%2E"
	case s == "..":
		return "%2E%2E"
	case strings.IndexByte(s, '%') < 0:
		return s
	case dotsPattern.MatchString(s):
		s = "%25" + s[1:]
	}
	if at := twinPattern.FindStringIndex(s); at != nil {
		s = s[:at[0]+1] + "25" + s[at[0]+1:]
	}
	return s
}

// unescape is the component of the key with this name. twin is true for the name
// of an object that has a directory beside it.
func unescape(name string) (s string, twin bool) {
	if at := twinPattern.FindStringIndex(name); at != nil && name[at[0]:] == fileTwin {
		s, _ = unescape(name[:at[0]])
		return s, true
	} else if at != nil {
		name = name[:at[0]+1] + name[at[0]+3:]
	}
	switch name {
	case empty:
		return "", false
	case "%2E":
		return ".", false
	case "%2E%2E":
		return "..", false
	}
	if dotsPattern.MatchString(name) {
		name = "%" + name[3:]
	}
	return name, false
}

// longNames remembers which name stands for which long component.
type longNames struct {
	mu   sync.Mutex
	real map[string]string
}

// show is the name of a component, shortened where it has to be.
func (l *longNames) show(component string) string {
	name := escape(component)
	if len(name) <= maxName {
		return name
	}
	h := fnv.New64a()
	h.Write([]byte(component))
	cut := maxName - len(longMark) - 16
	for cut > 0 && !utf8.RuneStart(name[cut]) {
		cut--
	}
	short := name[:cut] + longMark + hex.EncodeToString(h.Sum(nil))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.real[short] = component
	return short
}

// component is the part of the key that a name stands for.
func (l *longNames) component(name string) string {
	l.mu.Lock()
	full, ok := l.real[name]
	l.mu.Unlock()
	if ok {
		return full
	}
	if twin, ok := strings.CutSuffix(name, fileTwin); ok {
		return l.component(twin)
	}
	s, _ := unescape(name)
	return s
}

// ambiguous tells whether a name that a user gives would be taken for an escaped
// one, so that no file can be made under it.
func ambiguous(name string) bool {
	s, twin := unescape(name)
	return twin || s != name
}
