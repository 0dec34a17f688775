//go:build linux

package tests

import (
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

// posixSkips are the tests of posixtest that cannot pass, at most six.
var posixSkips = map[string]string{
	"Link":             "an object has one key: there are no hard links (link gives EPERM)",
	"LinkUnlinkRename": "renames by link and unlink: there are no hard links (link gives EPERM)",
	"FcntlFlockLocksFile": "wants two POSIX locks of one process to conflict, which fcntl(2) rules out; " +
		"it fails on a local disk too (FcntlFlockSetLk covers locking)",
}

func TestPosix(t *testing.T) {
	if len(posixSkips) > 6 {
		t.Fatalf("%d tests skipped, at most 6 may be", len(posixSkips))
	}
	onServers(t, func(t *testing.T, s *server) {
		m := newMount(t, s)
		for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
			t.Run(name, func(t *testing.T) {
				if reason, skip := posixSkips[name]; skip {
					t.Skip(reason)
				}
				dir := m.path(name)
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				posixtest.All[name](t, dir)
			})
		}
	})
}
