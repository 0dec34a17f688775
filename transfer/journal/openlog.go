package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
)

// openLog remembers the names of files that are being written. It is appended
// without a sync: a killed process leaves it complete, a dead machine perhaps not,
// and then unfinished files are told by their ID alone. It is written anew when most
// of it speaks of files that were closed, so its size stays bounded.
type openLog struct {
	unfinished map[string]openLine // by ID, as found at the start

	mu   sync.Mutex
	path string
	file *os.File
	open map[string]openLine // by ID
	size int64               // of the file
	keep int64               // size after it was written anew
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
	if err := errors.Join(l.read(f), f.Truncate(0)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	_, err = f.Seek(0, 0)
	return l, err
}

// maxOpenLine is above any line that was written here: keys have 1024 bytes at most.
const maxOpenLine = 64 << 10

// read takes up what the last process noted. After a power loss the file may hold
// anything, such as zeros of any length. What was open before such a place may have been
// closed in it, so nothing is said of that.
func (l *openLog) read(f *os.File) error {
	in := bufio.NewReaderSize(f, maxOpenLine)
	cut := false // the line began before what is read next
	for {
		line, err := in.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return err
		}
		var x openLine
		switch whole := err == nil && !cut; {
		case whole && json.Unmarshal(line, &x) == nil && x.ID != "":
			if x.End {
				delete(l.unfinished, x.ID)
			} else {
				l.unfinished[x.ID] = x
			}
		case err == io.EOF && !cut && bytes.IndexByte(line, 0) < 0: // the line that a crash cut
		default:
			clear(l.unfinished)
		}
		if err == io.EOF {
			return nil
		}
		cut = err == bufio.ErrBufferFull
	}
}

func (l *openLog) note(x openLine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[x.ID] = x
	return l.write(x)
}

func (l *openLog) forget(id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.open[id]; !ok {
		return nil
	}
	delete(l.open, id)
	if len(l.open) > 0 {
		return l.write(openLine{ID: id, End: true})
	}
	l.size, l.keep = 0, 0
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.Seek(0, 0)
	return err
}

// write appends a line. The caller holds l.mu.
func (l *openLog) write(x openLine) error {
	raw, err := json.Marshal(x)
	if err != nil {
		return err
	}
	n, err := l.file.Write(append(raw, '\n'))
	l.size += int64(n)
	if err == nil && l.size > 2*l.keep+openLogSlack {
		err = l.rewrite()
	}
	return err
}

// rewrite makes a file of what is open, and puts it in the place of the old one. The
// caller holds l.mu.
func (l *openLog) rewrite() error {
	var all bytes.Buffer
	enc := json.NewEncoder(&all)
	for _, x := range l.open {
		if err := enc.Encode(x); err != nil {
			return err
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
		return errors.Join(err, f.Close())
	}
	old := l.file
	l.file, l.size, l.keep = f, int64(all.Len()), int64(all.Len())
	return old.Close()
}

func (l *openLog) close() error { return l.file.Close() }
