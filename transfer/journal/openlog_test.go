package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestUnfinishedAreNamed(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	for id, key := range map[string]string{"1": "a", "2": "b\nc", "3": "d"} {
		if err := j.NoteOpen(id, key); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(j.NoteOpen("2", "renamed\nc"), j.NoteClosed("1")); err != nil {
		t.Fatal(err)
	}
	j.Close() // a kill leaves the same file
	j = open(t, dir)
	defer j.Close()
	if u := j.Unfinished(); len(u) != 2 || u["2"] != "renamed\nc" || u["3"] != "d" {
		t.Errorf("unfinished %v", u)
	}
}

// After a power loss a part of the log may be zeros: the journal opens, and names no file
// that may have been closed there.
func TestOpenLogWithZeros(t *testing.T) {
	line := func(id string) string { return fmt.Sprintf("{\"id\":%q,\"key\":\"the name of %s\"}\n", id, id) }
	for _, n := range []int{1, 4000, 3 << 20} {
		zeros := string(make([]byte, n))
		for log, want := range map[string]string{
			line("1") + zeros + line("2") + line("3"): "map[3:the name of 3]",
			line("1") + zeros:                         "map[]",
			zeros + "\n" + line("2"):                  "map[2:the name of 2]",
			line("1") + line("2")[:9]:                 "map[1:the name of 1]",
			line("1") + "{}\n" + line("2"):            "map[1:the name of 1 2:the name of 2]",
		} {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "open.log"), []byte(log), 0o600); err != nil {
				t.Fatal(err)
			}
			j := open(t, dir)
			if got := fmt.Sprint(j.Unfinished()); got != want {
				t.Errorf("%d zeros: unfinished %s, want %s", n, got, want)
			}
			j.Close()
		}
	}
}

// One file stays open while very many others come and go.
func TestOpenLogStaysSmall(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	if err := j.NoteOpen("long", "stays open"); err != nil {
		t.Fatal(err)
	}
	biggest := int64(0)
	for i := range 60_000 {
		id := fmt.Sprint(i)
		if err := errors.Join(j.NoteOpen(id, "a name"), j.NoteClosed(id)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, "open.log"))
		if err != nil {
			t.Fatal(err)
		}
		biggest = max(biggest, info.Size())
	}
	if biggest > openLogSlack+1000 {
		t.Errorf("the log grew to %d bytes", biggest)
	}
	j.Close()
	j = open(t, dir)
	defer j.Close()
	if u := j.Unfinished(); len(u) != 1 || u["long"] != "stays open" {
		t.Errorf("unfinished %v", u)
	}
}

// cutWrite lets the disk be full while do runs: half of a line gets there.
func cutWrite(t *testing.T, l *openLog, half string, do func()) {
	t.Helper()
	if _, err := l.file.WriteString(half); err != nil {
		t.Fatal(err)
	}
	full, err := os.Open(l.path) // for reading only: nothing can be written
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	f := l.file
	l.file = full
	do()
	l.file = f
}

// A line that a full disk has cut costs no other line, whether it was to note or to forget.
func TestOpenLogCutByAFullDisk(t *testing.T) {
	for name, rewrites := range map[string]bool{"written anew": true, "goes on": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, dir)
			if !rewrites { // the other file cannot be made either
				if err := os.Mkdir(filepath.Join(dir, "open.log.new"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(j.TakenUp(), j.NoteOpen("1", "a"), j.NoteOpen("2", "b")); err != nil {
				t.Fatal(err)
			}
			cutWrite(t, j.open, `{"id":"3","ke`, func() {
				if j.NoteOpen("3", "c") == nil {
					t.Error("a line that was cut is no error")
				}
			})
			if len(j.open.open) != 2 {
				t.Errorf("open are %v", j.open.open)
			}
			if err := j.NoteOpen("4", "d"); err != nil {
				t.Fatal(err)
			}
			cutWrite(t, j.open, `{"id":"1","en`, func() {
				if j.NoteClosed("1") == nil {
					t.Error("a line that was cut is no error")
				}
			})
			if err := j.NoteOpen("5", "e"); err != nil {
				t.Fatal(err)
			}
			j.Close()
			j = open(t, dir)
			defer j.Close()
			want := "map[1:a 2:b 4:d 5:e]" // that 1 was closed is what the line said
			if rewrites {
				want = "map[2:b 4:d 5:e]"
			}
			if got := fmt.Sprint(j.Unfinished()); got != want {
				t.Errorf("unfinished %s, want %s", got, want)
			}
		})
	}
}

// A crash in the middle of a line costs no line that the next process writes.
func TestOpenLogCutByACrash(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "open.log"), []byte("{\"id\":\"1\",\"key\":\"a\"}\n{\"id\":\"2"), 0o600); err != nil {
		t.Fatal(err)
	}
	j := open(t, dir)
	if err := j.NoteOpen("3", "c"); err != nil {
		t.Fatal(err)
	}
	j.Close()
	j = open(t, dir)
	defer j.Close()
	if got, want := fmt.Sprint(j.Unfinished()), "map[1:a 3:c]"; got != want {
		t.Errorf("unfinished %s, want %s", got, want)
	}
}

// What the last process noted is there until somebody has taken it up, and gone then.
func TestNotedUntilTakenUp(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	o := Object{Key: "k", Publication: "p"}
	if err := errors.Join(j.NoteOpen("1", "a"), j.NoteRequest("r", o)); err != nil {
		t.Fatal(err)
	}
	j.Close()
	for _, taken := range []bool{false, true} {
		j = open(t, dir)
		if got := fmt.Sprint(j.Unfinished(), j.Unanswered()); got != fmt.Sprint(map[string]string{"1": "a"}, []Object{o}) {
			t.Errorf("noted: %s", got)
		}
		if err := errors.Join(j.NoteOpen("2", "b"), j.NoteClosed("2")); err != nil {
			t.Fatal(err)
		}
		if taken {
			if err := errors.Join(j.NoteOpen("3", "c"), j.TakenUp()); err != nil {
				t.Fatal(err)
			}
		}
		j.Close()
	}
	j = open(t, dir)
	defer j.Close()
	if got := fmt.Sprint(j.Unfinished(), j.Unanswered()); got != "map[3:c] []" {
		t.Errorf("noted: %s", got)
	}
}
