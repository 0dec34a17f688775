//go:build linux

package tests

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestKillRounds kills the mount at a random moment of a random workload, mounts
// again and waits: every file whose close had succeeded is in the bucket with its
// bytes, and nothing else is. ROUNDS says how often, SEED repeats a workload.
func TestKillRounds(t *testing.T) {
	rounds := 4
	if long() {
		rounds = 200
	}
	rounds = int(envNumber(t, "ROUNDS", uint64(rounds)))
	seed := envNumber(t, "SEED", uint64(time.Now().UnixNano()))
	onServers(t, func(t *testing.T, s *server) {
		t.Logf("repeat with SEED=%d", seed)
		k := &killer{T: t, mount: newMount(t, s, "--settle", "300ms"), rng: rand.New(rand.NewPCG(seed, 7))}
		for i := range 3 {
			k.workers = append(k.workers, &worker{
				killer: k, prefix: fmt.Sprintf("w%d-", i), files: map[string]fileState{},
				rng: rand.New(rand.NewPCG(seed, uint64(100+i))),
			})
		}
		for round := range (rounds + 1) / 2 {
			k.round(round)
			if t.Failed() {
				t.Fatalf("in round %d", round)
			}
		}
		t.Logf("%d operations in %d rounds", k.done.Load(), (rounds+1)/2)
		if k.done.Load() == 0 {
			t.Error("no operation succeeded before a kill")
		}
		k.mount.unmount()
	})
}

func envNumber(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// killer is one run: a mount, and workers with names of their own.
type killer struct {
	*testing.T
	mount   *mount
	workers []*worker
	rng     *rand.Rand
	killed  atomic.Bool
	done    atomic.Int64 // operations that succeeded
}

// fileState is a file's bytes by their checksum; absent is no file.
type fileState string

const absent fileState = "nothing"

func stateOf(data []byte) fileState {
	sum := sha256.Sum256(data)
	return fileState(fmt.Sprintf("%d bytes %s", len(data), hex.EncodeToString(sum[:8])))
}

// worker uses files of its own, one operation after the other.
type worker struct {
	*killer
	prefix string
	rng    *rand.Rand
	files  map[string]fileState // what was acknowledged
	bytes  map[string][]byte    // of the files, to edit them
	trace  []string

	// An operation that was cut: what may be instead, name by name, each one wholly.
	cut []map[string]fileState
}

func (k *killer) round(n int) {
	k.Helper()
	stop := time.Now().Add(time.Duration(k.rng.IntN(3000)) * time.Millisecond)
	var running sync.WaitGroup
	for _, w := range k.workers {
		running.Go(w.work)
	}
	time.Sleep(time.Until(stop))
	k.killed.Store(true)
	k.mount.kill()
	running.Wait()
	killed := k.mount.log.String()
	if unsound.MatchString(killed) {
		k.Fatalf("the log has a race or a panic:\n%s", tail(killed, 20000))
	}
	k.killed.Store(false)
	k.mount.start()
	if r := run(k.T, k.mount.srv.environ(k.T), patient(3*time.Minute), "wait", k.mount.dir); r.code != 0 {
		k.Fatalf("wait: exit %d: %s%s\nlog:\n%s", r.code, r.stdout, r.stderr, tail(k.mount.log.String(), 8000))
	}
	if k.check(n); k.Failed() {
		k.Logf("log of the mount that was killed:\n%s", tail(killed, 8000))
	}
}

// allowed is every set of files that may be there now.
func (w *worker) allowed() []map[string]fileState {
	out := []map[string]fileState{w.files}
	for _, change := range w.cut {
		next := maps.Clone(w.files)
		for name, state := range change {
			if next[name] = state; state == absent {
				delete(next, name)
			}
		}
		out = append(out, next)
	}
	return out
}

// work does random operations until one fails: the mount is gone.
func (w *worker) work() {
	for {
		name := w.name()
		_, exists := w.files[name]
		var err error
		switch n := w.rng.IntN(20); {
		case !exists || n < 4:
			err = w.write(name)
		case n < 9:
			err = w.edit(name)
		case n < 12:
			err = w.append(name)
		case n < 13:
			err = w.truncate(name)
		case n < 17:
			err = w.rename(name)
		default:
			err = w.remove(name)
		}
		if errno := errnoOf(err); (errno == syscall.EISDIR || errno == syscall.ENOTEMPTY) && w.mount.srv.name == "minio" {
			time.Sleep(6 * time.Second) // it listed its own directory of an object that was being deleted; ENOTEMPTY stands for os.Rename's EEXIST
			continue
		}
		if err != nil {
			w.trace = append(w.trace, "  "+err.Error())
			if !w.killed.Load() {
				w.Errorf("%s: %v", w.trace[len(w.trace)-2], err)
			}
			return
		}
		w.killer.done.Add(1)
		if w.rng.IntN(4) == 0 {
			time.Sleep(time.Duration(w.rng.IntN(500)) * time.Millisecond)
		}
	}
}

// names is how many names a worker has.
const names = 4

func (w *worker) name() string { return w.prefix + string(rune('a'+w.rng.IntN(names))) }

// begin notes an operation and what it may lead to when it is cut.
func (w *worker) begin(what string, outcomes ...map[string]fileState) {
	w.trace = append(w.trace, what)
	w.cut = outcomes
}

// done notes that the operation has succeeded.
func (w *worker) done(name string, data []byte) error {
	w.cut = nil
	w.files[name] = stateOf(data)
	if w.bytes == nil {
		w.bytes = map[string][]byte{}
	}
	w.bytes[name] = data
	return nil
}

// random is mostly small, and now and then up to 40 MiB.
func (w *worker) random() []byte {
	n := w.rng.IntN(200_000)
	if w.rng.IntN(5) == 0 {
		n = w.rng.IntN(40 << 20)
	}
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(w.rng.Uint32()), byte(w.rng.Uint32()), byte(w.rng.Uint32())}).Read(b)
	return b
}

func (w *worker) write(name string) error {
	data := w.random()
	w.begin(fmt.Sprintf("write %s (%d)", name, len(data)),
		map[string]fileState{name: stateOf(data)}, map[string]fileState{name: stateOf(nil)}) // cut when it was truncated
	f, err := os.OpenFile(w.mount.path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 256<<10)
		if _, err := f.Write(rest[:n]); err != nil {
			return firstOf(err, f.Close())
		}
		rest = rest[n:]
	}
	if w.rng.IntN(8) == 0 {
		if err := f.Sync(); err != nil {
			return firstOf(err, f.Close())
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	return w.done(name, data)
}

func (w *worker) edit(name string) error {
	data := bytes.Clone(w.bytes[name])
	patches := map[int][]byte{}
	for range 1 + w.rng.IntN(3) {
		off, p := w.rng.IntN(len(data)+1), make([]byte, 1+w.rng.IntN(100_000))
		rand.NewChaCha8([32]byte{byte(w.rng.Uint32()), byte(off)}).Read(p)
		patches[off] = p
	}
	order := slices.Sorted(maps.Keys(patches))
	for _, off := range order {
		p := patches[off]
		data = append(data, make([]byte, max(0, off+len(p)-len(data)))...)
		copy(data[off:], p)
	}
	w.begin(fmt.Sprintf("edit %s at %v", name, order), map[string]fileState{name: stateOf(data)})
	f, err := os.OpenFile(w.mount.path(name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for _, off := range order {
		if _, err := f.WriteAt(patches[off], int64(off)); err != nil {
			return firstOf(err, f.Close())
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	return w.done(name, data)
}

func (w *worker) append(name string) error {
	more := w.random()
	data := slices.Concat(w.bytes[name], more)
	w.begin(fmt.Sprintf("append %s (%d)", name, len(more)), map[string]fileState{name: stateOf(data)})
	f, err := os.OpenFile(w.mount.path(name), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if _, err := f.Write(more); err != nil {
		return firstOf(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return w.done(name, data)
}

func (w *worker) truncate(name string) error {
	data := bytes.Clone(w.bytes[name])
	data = data[:w.rng.IntN(len(data)+1)]
	w.begin(fmt.Sprintf("truncate %s to %d", name, len(data)), map[string]fileState{name: stateOf(data)})
	if err := os.Truncate(w.mount.path(name), int64(len(data))); err != nil {
		return err
	}
	return w.done(name, data)
}

func (w *worker) rename(name string) error {
	to := w.name()
	if to == name {
		return nil
	}
	state, data := w.files[name], w.bytes[name]
	w.begin("rename "+name+" to "+to, map[string]fileState{name: absent, to: state})
	if err := os.Rename(w.mount.path(name), w.mount.path(to)); err != nil {
		return err
	}
	delete(w.files, name)
	delete(w.bytes, name)
	return w.done(to, data)
}

func (w *worker) remove(name string) error {
	w.begin("remove "+name, map[string]fileState{name: absent})
	if err := os.Remove(w.mount.path(name)); err != nil {
		return err
	}
	w.cut = nil
	delete(w.files, name)
	delete(w.bytes, name)
	return nil
}
