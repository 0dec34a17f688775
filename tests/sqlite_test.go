//go:build linux

package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Databases, sqliteAtOnce at a time. Each is written by sqliteWriters processes at a time, sqliteTurns times each.
const (
	sqliteDatabases = 24
	sqliteAtOnce    = 4
	sqliteWriters   = 2
	sqliteTurns     = 15
)

// TestDatabaseOfTwoWriters has two processes at a time write to one database of sqlite in
// WAL mode, and each open it anew for every transaction. Half of the databases are copied
// into the mount. One alone seldom shows that a page is wrong, so there are many.
func TestDatabaseOfTwoWriters(t *testing.T) {
	m := newMount(t, embedded(t), "--fsync", "journal")
	blank := filepath.Join(t.TempDir(), "blank.db")
	makeDatabase(t, blank)
	var all []string
	for i := range sqliteDatabases {
		all = append(all, fmt.Sprintf("%d.db", i))
	}
	var groups sync.WaitGroup
	for i := range sqliteAtOnce {
		groups.Go(func() {
			for k := i; k < len(all); k += sqliteAtOnce {
				path := m.path(all[k])
				if k%8 < 4 {
					makeDatabase(t, path)
				} else if out, err := exec.Command("cp", blank, path).CombinedOutput(); err != nil {
					t.Errorf("cp: %v: %s", err, out)
				}
				fillDatabase(t, path)
			}
		})
	}
	groups.Wait()
	for _, name := range all {
		checkDatabase(t, m.path(name))
	}
	m.remountCold()
	for _, name := range all {
		checkDatabase(t, m.path(name))
	}
}

func makeDatabase(t *testing.T, path string) {
	t.Helper()
	if _, err := sqlite(path, "pragma journal_mode=wal; create table a(x integer, b blob)"); err != nil {
		t.Error(err)
	}
}

// fillDatabase has the writers fill a database.
func fillDatabase(t *testing.T, path string) {
	t.Helper()
	var writers sync.WaitGroup
	for w := range sqliteWriters {
		writers.Go(func() {
			for i := range sqliteTurns {
				turn := fmt.Sprintf("begin immediate; insert into a values(%d, randomblob(3000)); commit", w*sqliteTurns+i)
				if _, err := sqlite(path, turn); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
}

// checkDatabase expects every row, in a database without damage.
func checkDatabase(t *testing.T, path string) {
	t.Helper()
	got, err := sqlite(path, "pragma integrity_check; select count(distinct x) from a")
	if want := fmt.Sprintf("ok\n%d\n", sqliteWriters*sqliteTurns); err != nil || got != want {
		t.Errorf("%s: %q, want %q (%v)", filepath.Base(path), got, want, err)
	}
}

// sqlite runs statements in a process of its own.
func sqlite(path, statements string) (string, error) {
	limit := fmt.Sprintf(".timeout %d", patient(20*time.Second).Milliseconds())
	cmd := exec.Command("sqlite3", "-batch", "-bail", "-cmd", limit, path, statements)
	cmd.Env = append(os.Environ(), "HOME=/nonexistent") // no settings of the user
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil || said.Len() > 0 {
		err = fmt.Errorf("%s: %s: %v: %s", filepath.Base(path), statements, err, strings.TrimSpace(said.String()))
	}
	return string(out), err
}
