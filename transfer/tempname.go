package transfer

import (
	"path"
	"regexp"
)

// temporaryFrom is the size at which a growing file begins to upload whose name says that it
// will be renamed when it is whole. An upload cannot change its key: the server would have to
// copy what it got. Above, sending while the file grows saves more than the copy costs.
const temporaryFrom = 128 << 20

// temporary matches names that programs give a file until it is whole: rsync's .NAME.Xa3dEf,
// those of browsers and of other tools that download or copy, and what editors save before it
// takes the place of the old version.
var temporary = regexp.MustCompile(`^\..+\.[0-9A-Za-z]{6}$` +
	`|^\.?(tmp|temp)[_.-]` +
	`|^\.goutputstream-` +
	`|(?i)\.(tmp|temp|part|partial|filepart|crdownload|download|opdownload)$`)

// streamsFrom is the size at which the content begins to upload while it grows. The caller
// holds f.mu.
func (f *File) streamsFrom(c *content) int64 {
	if !c.hurried && temporary.MatchString(path.Base(f.key)) {
		return temporaryFrom
	}
	return streamFrom
}

// streamHeld lets all begin to upload that wait for their names. It tells whether there were
// any.
func (e *Engine) streamHeld() (any bool) {
	for _, f := range e.dirtyFiles() {
		f.mu.Lock()
		if c := f.head(); !c.frozen && c.stream == nil && !c.hurried {
			c.hurried = true
			f.advance(c)
			any = any || c.stream != nil
		}
		f.mu.Unlock()
	}
	return any
}
