package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	mountfs "s3mount/fs"
)

// record is what a running mount leaves for the other commands to find it.
type record struct {
	Mountpoint string    `json:"mountpoint"`
	Bucket     string    `json:"bucket"`
	Prefix     string    `json:"prefix,omitempty"`
	Endpoint   string    `json:"endpoint,omitempty"`
	CacheDir   string    `json:"cache_dir"`
	PID        int       `json:"pid"`
	Socket     string    `json:"socket"`
	Started    time.Time `json:"started"`
	Version    string    `json:"version"`
}

// registry is the directory of the records: one JSON file and one socket for
// each mount. It belongs to one user, and nobody else can enter it. No two processes
// use the same file, also where the system gives a PID once more, so what a dead one left can
// be removed at any time.
type registry struct{ dir string }

// registryDir depends on the user alone, so that a mount is found from every
// shell, whatever its environment: /run/s3mount for root, else the user's
// /run/user/UID/s3mount, and /tmp/s3mount-UID where there is none.
func registryDir(uid int) string {
	if uid == 0 {
		if st, err := os.Stat("/run"); err == nil && st.IsDir() {
			return "/run/s3mount"
		}
	}
	dir := "/run/user/" + strconv.Itoa(uid)
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return filepath.Join(dir, "s3mount")
	}
	return "/tmp/s3mount-" + strconv.Itoa(uid)
}

// openRegistry makes the directory, and refuses one that somebody else made.
func openRegistry(dir string) (*registry, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, &problem{cause: pathError("cannot make the directory of running mounts", dir, err), remedy: "check the permissions above it", err: err}
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !st.IsDir() || st.Mode().Perm()&0o077 != 0 || !ok || int(sys.Uid) != os.Getuid() {
		return nil, &problem{cause: fmt.Sprintf("%s is not a private directory of this user", dir), remedy: "remove it: only s3mount uses this name"}
	}
	return &registry{dir}, nil
}

// base is the path of a mount's files without their ending: short, since the path of
// a socket may have about 100 bytes only.
func (r *registry) base(mountpoint string, pid int) string {
	h := fnv.New64a()
	h.Write([]byte(mountpoint))
	return filepath.Join(r.dir, fmt.Sprintf("%016x-%d-%s", h.Sum64(), pid, startOf(pid)))
}

// lives tells whether the process still runs that left a record at the path, and not another
// one that has its PID. A name without a start is believed.
func (r *registry) lives(path string, rec record) bool {
	return processLives(rec.PID) && (path == r.base(rec.Mountpoint, rec.PID)+".json" || strings.Count(filepath.Base(path), "-") == 1)
}

// add writes a record whole or not at all.
func (r *registry) add(rec record) error {
	b, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	base := r.base(rec.Mountpoint, rec.PID)
	tmp := base + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, base+".json")
}

// remove forgets a mount.
func (r *registry) remove(rec record) {
	os.Remove(r.base(rec.Mountpoint, rec.PID) + ".json")
	os.Remove(rec.Socket)
}

func readRecord(path string) (record, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return record{}, err
	}
	var rec record
	if err := json.Unmarshal(b, &rec); err != nil {
		return record{}, fmt.Errorf("%s: %w", path, err)
	}
	return rec, nil
}

// list gives the mounts whose process lives, in the order of their mountpoints, those of
// one by their start, and forgets the others.
func (r *registry) list() ([]record, error) {
	paths, err := filepath.Glob(filepath.Join(r.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var live []record
	for _, path := range paths {
		rec, err := readRecord(path)
		if err != nil {
			continue
		}
		if !r.lives(path, rec) {
			os.Remove(path)
			os.Remove(rec.Socket)
			continue
		}
		live = append(live, rec)
	}
	slices.SortFunc(live, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.Mountpoint, b.Mountpoint), a.Started.Compare(b.Started))
	})
	return live, nil
}

// find gives the mount that a path is in, and the path below its mountpoint
// with slashes. The path need not exist. Where an earlier mount still drains it is the latest.
func (r *registry) find(path string) (record, string, error) {
	path, err := absolute(path)
	if err != nil {
		return record{}, "", err
	}
	all, err := r.list()
	if err != nil {
		return record{}, "", err
	}
	best := -1
	for i, rec := range all {
		if below(path, rec.Mountpoint) && (best < 0 || len(rec.Mountpoint) >= len(all[best].Mountpoint)) {
			best = i
		}
	}
	if best < 0 {
		return record{}, "", noMount(path)
	}
	rel := strings.Trim(strings.TrimPrefix(path, all[best].Mountpoint), "/")
	return all[best], filepath.ToSlash(rel), nil
}

// places gives the place of a path, and that to which it leads when it is a symbolic
// link: at least one of them is in a mount.
func (r *registry) places(path string) ([]place, error) {
	rec, rel, err := r.find(path)
	var out []place
	if err == nil {
		out = append(out, place{rec, rel})
		if rel == "" {
			return out, nil // never touch a mountpoint: it may not answer
		}
	}
	target, linkErr := filepath.EvalSymlinks(path)
	if linkErr != nil {
		return out, err
	}
	rec, rel, targetErr := r.find(target)
	if p := (place{rec, rel}); targetErr == nil && !slices.Contains(out, p) {
		out = append(out, p)
	}
	if len(out) > 0 {
		return out, nil
	}
	return nil, err
}

var errNoMount = errors.New("no such mount")

// noMount tells why a path is in no mount that this user can steer.
func noMount(path string) error {
	p := &problem{cause: path + " is in no mount of this user", remedy: "see the mounts with: s3mount status", err: errNoMount}
	for dir := path; ; dir = filepath.Dir(dir) {
		stale, _ := mountfs.Stale(dir)
		switch {
		case stale:
			p.cause, p.remedy = "the process of the mount at "+dir+" has died", "mount it again: files that were closed are in its cache directory and go on"
			return p
		case isOurMount(dir):
			p.cause, p.remedy = dir+" is a mount of another user", "run this as the user who mounted it"
			return p
		case dir == filepath.Dir(dir):
			return p
		}
	}
}

func below(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// absolute resolves what lies above the last element, so that /tmp/link/mnt
// is the mountpoint it leads to. It never touches the last element: that may
// be a mountpoint that does not answer.
func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return abs, nil
	}
	return filepath.Join(parent, filepath.Base(abs)), nil
}

// processLives also says yes about the processes of others, and no about one
// that has ended and that nobody has waited for.
func processLives(pid int) bool {
	if pid <= 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	state := statOf(pid)
	return len(state) == 0 || state[0] != "Z" // without: not Linux
}

// startOf is when a process began, in the system's own units; empty: the system does not tell.
func startOf(pid int) string {
	if stat := statOf(pid); len(stat) > 19 {
		return stat[19]
	}
	return ""
}

// statOf is what Linux tells of a process behind its name, from the state on.
// Source: proc_pid_stat(5)
func statOf(pid int) []string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
}
