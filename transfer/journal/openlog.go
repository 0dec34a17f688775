package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"sync"
)

// openLog remembers the names of files that are being written. It is appended
// without a sync: a killed process leaves it complete, a dead machine perhaps not,
// and then unfinished files are told by their ID alone.
type openLog struct {
	unfinished map[string]string // as found at the start

	mu   sync.Mutex
	file *os.File
	open map[string]bool
}

type openLine struct {
	ID  string `json:"id"`
	Key string `json:"key,omitempty"`
	End bool   `json:"end,omitempty"`
}

func openOpenLog(path string) (*openLog, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := &openLog{unfinished: map[string]string{}, file: f, open: map[string]bool{}}
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		var x openLine
		if json.Unmarshal(scan.Bytes(), &x) != nil {
			continue // the line that the crash cut
		}
		if x.End {
			delete(l.unfinished, x.ID)
		} else {
			l.unfinished[x.ID] = x.Key
		}
	}
	if err := errors.Join(scan.Err(), f.Truncate(0)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	_, err = f.Seek(0, 0)
	return l, err
}

func (l *openLog) note(id, key string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[id] = true
	return l.write(openLine{ID: id, Key: key})
}

func (l *openLog) forget(id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open[id] {
		return nil
	}
	delete(l.open, id)
	if len(l.open) > 0 {
		return l.write(openLine{ID: id, End: true})
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.Seek(0, 0)
	return err
}

func (l *openLog) write(x openLine) error {
	raw, err := json.Marshal(x)
	if err != nil {
		return err
	}
	_, err = l.file.Write(append(raw, '\n'))
	return err
}

func (l *openLog) close() error { return l.file.Close() }
