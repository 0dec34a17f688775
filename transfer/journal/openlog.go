package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"sync"
)

// openLog remembers the names of files that are being written, or of requests under way.
// It is appended without a sync: a killed process leaves it complete, a dead machine
// perhaps not, and then unfinished files are told by their ID alone. It is written anew
// when most of it speaks of what has ended, so its size stays bounded.
type openLog struct {
	unfinished map[string]openLine // by ID, as found at the start

	mu   sync.Mutex
	path string
	file *os.File
	old  map[string]openLine // what was found, until somebody took it up
	open map[string]openLine // by ID
	size int64               // of the file
	keep int64               // size after it was written anew
	torn bool                // the file ends within a line, or lacks one
}

// openLogSlack is how many bytes of ended entries the file may hold.
const openLogSlack = 1 << 20

type openLine struct {
	ID          string `json:"id"`
	Key         string `json:"key,omitempty"`
	Publication string `json:"publication,omitempty"` // of the version that a request may make there
	End         bool   `json:"end,omitempty"`
}

func openOpenLog(path string) (*openLog, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := &openLog{unfinished: map[string]openLine{}, path: path, file: f, open: map[string]openLine{}}
	err = l.read(f)
	if err == nil {
		l.size, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l.old, l.keep, l.torn = maps.Clone(l.unfinished), l.size, l.size > 0
	return l, nil
}

// maxOpenLine is above any line that was written here: keys have 1024 bytes at most.
const maxOpenLine = 64 << 10

// read takes up what the last process noted. A crash, or a disk that was full, may have cut
// any line: that one is left out. After a power loss the file may hold anything, such as zeros
// of any length. What was open before such a place may have been closed in it, so nothing is
// said of that.
func (l *openLog) read(f *os.File) error {
	in := bufio.NewReaderSize(f, maxOpenLine)
	long := false // the line is longer than any
	for {
		line, err := in.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return err
		}
		long = long || err == bufio.ErrBufferFull
		var x openLine
		switch {
		case !long && json.Unmarshal(line, &x) == nil && x.ID != "":
			if x.End {
				delete(l.unfinished, x.ID)
			} else {
				l.unfinished[x.ID] = x
			}
		case long || bytes.IndexByte(line, 0) >= 0:
			clear(l.unfinished)
		}
		if err == io.EOF {
			return nil
		}
		long = err == bufio.ErrBufferFull
	}
}

// note fails where the line did not reach the file, and nothing is open then that was not.
func (l *openLog) note(x openLine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, known := l.open[x.ID]
	l.open[x.ID] = x
	err := l.write(x)
	if err != nil && known {
		l.open[x.ID] = was
	} else if err != nil {
		delete(l.open, x.ID)
	}
	return err
}

func (l *openLog) forget(id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.open[id]; !ok {
		return nil
	}
	delete(l.open, id)
	if len(l.open)+len(l.old) > 0 {
		return l.write(openLine{ID: id, End: true})
	}
	return l.empty()
}

// takenUp forgets what the last process noted: who had to know does, and has noted what is
// still true of it.
func (l *openLog) takenUp() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.old, l.torn = nil, true // where it cannot be done now, the next line does it
	if len(l.open) > 0 {
		return l.rewrite()
	}
	return l.empty()
}

// empty cuts the file. The caller holds l.mu.
func (l *openLog) empty() error {
	err := l.file.Truncate(0)
	if err == nil {
		_, err = l.file.Seek(0, io.SeekStart)
	}
	if l.torn = err != nil; err == nil {
		l.size, l.keep = 0, 0
	}
	return err
}

// write appends a line, to a line of its own also where the last one was cut. The caller
// holds l.mu.
func (l *openLog) write(x openLine) error {
	if l.torn && l.old == nil && l.rewrite() == nil {
		return nil // it has that line, too
	}
	raw, err := json.Marshal(x)
	if err != nil {
		return err
	}
	if l.torn {
		raw = append([]byte("\n"), raw...)
	}
	n, err := l.file.Write(append(raw, '\n'))
	l.size += int64(n)
	if l.torn = err != nil; l.torn {
		return err
	}
	if l.size > 2*l.keep+openLogSlack && l.rewrite() != nil {
		l.keep = l.size // the next try is when it has doubled
	}
	return nil
}

// rewrite makes a file of what is open, and puts it in the place of the old one. The
// caller holds l.mu.
func (l *openLog) rewrite() error {
	var all bytes.Buffer
	enc := json.NewEncoder(&all)
	for _, lines := range []map[string]openLine{l.old, l.open} {
		for _, x := range lines {
			if err := enc.Encode(x); err != nil {
				return err
			}
		}
	}
	f, err := os.OpenFile(l.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(all.Bytes()); err == nil {
		err = os.Rename(l.path+".new", l.path)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	old := l.file
	l.file, l.size, l.keep, l.torn = f, int64(all.Len()), int64(all.Len()), false
	return old.Close()
}

func (l *openLog) close() error { return l.file.Close() }
