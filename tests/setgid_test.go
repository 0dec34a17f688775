//go:build linux

package tests

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSetgidDirectory makes a file, a folder and a link in a folder that passes its group
// on, as shared folders of a team do.
func TestSetgidDirectory(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a folder to a group that it is not in")
	}
	m := newMount(t, embedded(t))
	dir := m.path("team")
	shell(t, "mkdir "+dir+" && chgrp 4321 "+dir+" && chmod 2775 "+dir)
	m.remountCold()
	shell(t, "cd "+dir+" && touch file && mkdir sub && ln -s file link && touch sub/deep && touch ../outside")
	for name, want := range map[string]string{
		"team/file": "4321 100644", "team/sub": "4321 42755", "team/link": "4321 120777", "team/sub/deep": "4321 100644", "outside": "0 100644",
	} {
		var st unix.Stat_t
		if err := unix.Lstat(m.path(name), &st); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%d %o", st.Gid, st.Mode); got != want {
			t.Errorf("%s has group and mode %s, want %s", name, got, want)
		}
	}
}
