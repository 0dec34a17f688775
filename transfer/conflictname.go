package transfer

import (
	"fmt"
	"path"
	"strings"
	"time"
)

const (
	maxKey     = 1024 // bytes
	longestExt = 32   // what is longer tells nothing of the kind of a file
)

// conflictName is the name of the other client's version: "name (conflict HOST
// TIME).ext", at most 255 bytes in the last component.
func conflictName(key, host string, at time.Time, n int) string {
	dir, name := path.Split(key)
	ext := path.Ext(name)
	if len(ext) > longestExt {
		ext = ""
	}
	stem := strings.TrimSuffix(name, ext)
	if i := strings.Index(stem, " (conflict "); i > 0 && strings.HasSuffix(stem, ")") {
		stem = stem[:i]
	}
	mark := fmt.Sprintf(" (conflict %s %s)", strings.ReplaceAll(host, "/", "-"), at.UTC().Format("2006-01-02T15.04.05Z"))
	if n > 0 {
		mark = fmt.Sprintf("%s %d)", strings.TrimSuffix(mark, ")"), n)
	}
	for dir != "" && len(dir)+len(mark)+len(ext) >= maxKey { // there is no room for it beside ours
		dir = dir[:strings.LastIndexByte(dir[:len(dir)-1], '/')+1]
	}
	if room := min(255, maxKey-len(dir)) - len(mark) - len(ext); len(stem) > room {
		stem = strings.ToValidUTF8(stem[:room], "")
	}
	return dir + stem + mark + ext
}
