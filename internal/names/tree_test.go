package names

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/attrs"
	"s3mount/internal/mem"
	"s3mount/internal/s3/s3test"
	"s3mount/transfer"
	"s3mount/transfer/journal"
)

const treeTTL = 5 * time.Second

// treeRig is a Tree over a fake bucket in virtual time.
type treeRig struct {
	t      *testing.T
	server *s3test.Server
	engine *transfer.Engine
	tree   *Tree
	memory string // directory of what is remembered
	ctx    context.Context
}

func treeSim(t *testing.T, prefix string, run func(t *testing.T, g *treeRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &treeRig{t: t, server: s3test.New(), memory: t.TempDir(), ctx: context.Background()}
		bucket := s3test.Bucket(t, g.server)
		j, err := journal.Open(journal.Options{Dir: t.TempDir(), AllowVolatile: true, SpoolLimit: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		arena := mem.NewArena()
		fetcher := transfer.NewFetcher(transfer.FetchOptions{Bucket: bucket, Budget: mem.New(64 << 20), Arena: arena, Memory: 16 << 20})
		g.engine = transfer.New(transfer.Options{Bucket: bucket, Fetcher: fetcher, Journal: j, Settle: time.Second, Host: "here"})
		found, err := g.engine.Recover()
		if err != nil {
			t.Fatal(err)
		}
		memory, err := attrs.Open(attrs.Options{Dir: g.memory})
		if err != nil {
			t.Fatal(err)
		}
		g.tree = New(Options{Bucket: bucket, Engine: g.engine, Attrs: memory, Prefix: prefix, TTL: treeTTL, Umask: 0o022}, found)
		defer func() {
			g.server.Fault(nil)
			if err := g.tree.opts.Attrs.Close(); err != nil {
				t.Error(err)
			}
			g.engine.Close()
			fetcher.Close()
			time.Sleep(time.Minute)
			synctest.Wait()
			if err := j.Close(); err != nil {
				t.Error(err)
			}
			arena.Close()
		}()
		run(t, g)
	})
}

// at walks to a node.
func (g *treeRig) at(path string) *Node {
	g.t.Helper()
	n := g.tree.Root()
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' }) {
		var err error
		if n, err = g.tree.Lookup(g.ctx, n, name); err != nil {
			g.t.Fatalf("%s: %v", path, err)
		}
	}
	return n
}

func (g *treeRig) parent(p string) (*Node, string) {
	dir, name := parent(p)
	return g.at(dir), name
}

// ls lists a directory; names of directories get a slash.
func (g *treeRig) ls(path string) string {
	g.t.Helper()
	s, err := g.tree.OpenDir(g.ctx, g.at(path))
	if err != nil {
		g.t.Fatal(err)
	}
	defer s.Close()
	var out []string
	for {
		e, ok, err := s.Next(g.ctx, true)
		if err != nil {
			g.t.Fatal(err)
		}
		if !ok {
			slices.Sort(out)
			return strings.Join(out, " ")
		}
		if e.Kind == KindDir {
			e.Name += "/"
		}
		out = append(out, e.Name)
	}
}

func (g *treeRig) wantLs(path, want string) {
	g.t.Helper()
	if got := g.ls(path); got != want {
		g.t.Errorf("%q lists %q, want %q", path, got, want)
	}
}

func (g *treeRig) gone(path string) {
	g.t.Helper()
	dir, name := g.parent(path)
	if n, err := g.tree.Lookup(g.ctx, dir, name); !errors.Is(err, ErrNotExist) {
		g.t.Errorf("%q is there: %v, %v", path, n, err)
	}
}

func (g *treeRig) write(path string, data string) *Node {
	g.t.Helper()
	dir, name := g.parent(path)
	n, f, err := g.tree.Create(g.ctx, dir, name, 0o640, 1, 2, false)
	if err != nil {
		g.t.Fatalf("create %q: %v", path, err)
	}
	if err := f.Truncate(g.ctx, 0); err != nil {
		g.t.Fatal(err)
	}
	if _, err := f.WriteAt(g.ctx, []byte(data), 0); err != nil {
		g.t.Fatal(err)
	}
	if err := f.Flush(g.ctx); err != nil {
		g.t.Fatal(err)
	}
	f.CloseHandle(true)
	return n
}

func (g *treeRig) read(f *transfer.File) string {
	g.t.Helper()
	c, err := f.Read(g.ctx, 0, int(f.Size()))
	if err != nil {
		return err.Error()
	}
	defer c.Release()
	p := make([]byte, c.Len())
	c.CopyTo(p)
	return string(p)
}

// wantFile checks what the path reads as.
func (g *treeRig) wantFile(path, want string) {
	g.t.Helper()
	f, err := g.at(path).Open(g.ctx, false, false)
	if err != nil {
		g.t.Fatalf("open %q: %v", path, err)
	}
	defer f.CloseHandle(false)
	if got := g.read(f); got != want {
		g.t.Errorf("%q reads %q, want %q", path, got, want)
	}
}

func (g *treeRig) rename(from, to string) error {
	g.t.Helper()
	fd, fn := g.parent(from)
	td, tn := g.parent(to)
	return g.tree.Rename(g.ctx, fd, fn, td, tn, false)
}

func (g *treeRig) unlink(path string) error {
	g.t.Helper()
	dir, name := g.parent(path)
	return g.tree.Unlink(g.ctx, dir, name)
}

func (g *treeRig) ok(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// settle publishes what is closed.
func (g *treeRig) settle() {
	g.t.Helper()
	for range 20 {
		g.ok(g.engine.Wait(g.ctx, ""))
		time.Sleep(time.Second)
		synctest.Wait()
		if len(g.engine.Pending()) == 0 {
			return
		}
	}
	g.t.Fatalf("still pending: %+v", g.engine.Status(""))
}

func (g *treeRig) keys(want ...string) {
	g.t.Helper()
	if got := g.server.Keys(); fmt.Sprint(got) != fmt.Sprint(want) {
		g.t.Errorf("the bucket holds %q, want %q", got, want)
	}
}

func TestUnpublishedIsSeen(t *testing.T) {
	treeSim(t, "p/", func(t *testing.T, g *treeRig) {
		g.server.PutObject("p/old", []byte("old"), nil)
		g.server.PutObject("elsewhere", nil, nil)
		g.wantLs("", "old")
		g.write("new", "data")
		g.keys("elsewhere", "p/old")
		g.wantLs("", "new old")
		g.wantFile("new", "data")
		if a := g.at("new").Known(); a.Size != 4 || a.Mode != 0o640 || a.UID != 1 || a.GID != 2 || !a.Exact {
			t.Errorf("attributes %+v", a)
		}
		g.settle()
		g.keys("elsewhere", "p/new", "p/old")
		g.wantLs("", "new old")
		time.Sleep(2 * treeTTL)
		g.wantLs("", "new old")
		g.wantFile("new", "data")
	})
}

func TestDeletedIsNotSeen(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.PutObject("a", []byte("a"), nil)
		g.server.PutObject("b", []byte("b"), nil)
		n := g.at("a")
		f, err := n.Open(g.ctx, false, false)
		g.ok(err)
		g.ok(g.unlink("a"))
		for range 3 { // the object stays until the last close
			g.keys("a", "b")
			g.wantLs("", "b")
			g.gone("a")
			time.Sleep(treeTTL + time.Second)
		}
		if got := g.read(f); got != "a" {
			t.Errorf("the open file reads %q", got)
		}
		if a := n.Known(); a.Nlink != 0 {
			t.Errorf("%d links", a.Nlink)
		}
		g.write("a", "new")
		f.CloseHandle(false)
		g.settle()
		g.keys("a", "b")
		g.wantFile("a", "new")
		g.ok(g.unlink("b"))
		g.keys("a")
		g.wantLs("", "a")
	})
}

// A directory in which more waits to be deleted than one page of a listing tells can be removed.
func TestRmdirOfManyThatWait(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		const n = pageSize + 200
		g.server.PutObject("d/", nil, nil)
		for i := range n {
			g.server.PutObject(fmt.Sprintf("d/%04d", i), []byte("bytes"), nil)
		}
		var open []*transfer.File
		for i := range n {
			f, err := g.at(fmt.Sprintf("d/%04d", i)).Open(g.ctx, false, false)
			g.ok(err)
			open = append(open, f)
			if i < n-1 {
				g.ok(g.unlink(fmt.Sprintf("d/%04d", i)))
			}
		}
		if err := g.tree.Rmdir(g.ctx, g.tree.Root(), "d"); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("rmdir beside one that stays: %v, want ErrNotEmpty", err)
		}
		g.ok(g.unlink(fmt.Sprintf("d/%04d", n-1)))
		g.ok(g.tree.Rmdir(g.ctx, g.tree.Root(), "d"))
		g.wantLs("", "")
		for _, f := range open {
			f.CloseHandle(false)
		}
		g.settle()
		g.keys()
	})
}

// A listing that was on its way when we changed something is corrected.
func TestListingThatIsOvertaken(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.PutObject("d/a", []byte("a"), nil)
		g.server.PutObject("d/b", []byte("b"), nil)
		dir := g.at("d")
		g.wantLs("d", "a b")
		time.Sleep(2 * treeTTL)
		s, err := g.tree.OpenDir(g.ctx, dir) // begins before, reads after
		g.ok(err)
		g.ok(g.unlink("d/a"))
		g.write("d/c", "c")
		var names []string
		for {
			e, more, err := s.Next(g.ctx, true)
			g.ok(err)
			if !more {
				break
			}
			names = append(names, e.Name)
		}
		if fmt.Sprint(names) != "[b c]" {
			t.Errorf("listed %v", names)
		}
	})
}

func TestKeysThatAreNoNames(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		long := strings.Repeat("l", 300)
		for _, key := range []string{"a//b", "d/.", "d/..", "x", "x/y", "%", "%00", "100%", long} {
			g.server.PutObject(key, []byte(key), nil)
		}
		shown := g.tree.long.show(long)
		g.wantLs("", strings.Join([]string{"%", "%2500", "100%", "a/", "d/", shown, "x%file", "x/"}, " "))
		g.wantLs("a", "%00/")
		g.wantLs("d", "%2E %2E%2E")
		for path, want := range map[string]string{"a/%00/b": "a//b", "d/%2E": "d/.", "x%file": "x", "x/y": "x/y", "%": "%", "%2500": "%00", "100%": "100%", shown: long} {
			g.wantFile(path, want)
		}
		f, err := g.at("x%file").Open(g.ctx, true, true)
		g.ok(err)
		if _, err := f.WriteAt(g.ctx, []byte("changed"), 0); err != nil {
			t.Fatal(err)
		}
		f.CloseHandle(true)
		g.ok(g.unlink("d/%2E%2E"))
		g.settle()
		if got, _ := g.server.Object("x"); string(got) != "changed" {
			t.Errorf("x is %q", got)
		}
		g.keys("%", "%00", "100%", "a//b", "d/.", long, "x", "x/y")
		for _, name := range []string{"%00", "new%file", "%2E", ".", "..", ""} {
			if _, _, err := g.tree.Create(g.ctx, g.tree.Root(), name, 0o644, 0, 0, true); err == nil {
				t.Errorf("made %q", name)
			}
		}
		if _, err := g.tree.Lookup(g.ctx, g.tree.Root(), long); !errors.Is(err, ErrNameTooLong) {
			t.Errorf("a long name: %v", err)
		}
	})
}

func TestDirectories(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.PutObject("implicit/a", []byte("a"), nil)
		root := g.tree.Root()
		if _, err := g.tree.Mkdir(g.ctx, root, "implicit", 0o755, 0, 0); !errors.Is(err, ErrExist) {
			t.Errorf("mkdir: %v", err)
		}
		if err := g.tree.Rmdir(g.ctx, root, "implicit"); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("rmdir: %v", err)
		}
		g.ok(g.unlink("implicit/a"))
		g.keys("implicit/") // the directory stays
		g.wantLs("", "implicit/")
		g.ok(g.tree.Rmdir(g.ctx, root, "implicit"))
		g.keys()
		g.gone("implicit")

		d, err := g.tree.Mkdir(g.ctx, root, "d", 0o750, 3, 4)
		g.ok(err)
		if a, err := d.Attr(g.ctx); err != nil || a.Mode != 0o750 || a.UID != 3 || a.Kind != KindDir {
			t.Errorf("%+v, %v", a, err)
		}
		g.write("d/f", "x") // not in the bucket yet
		if err := g.tree.Rmdir(g.ctx, root, "d"); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("rmdir with an unpublished file: %v", err)
		}
		g.ok(g.unlink("d/f"))
		g.ok(g.tree.Rmdir(g.ctx, root, "d"))
		g.keys()
		if err := g.tree.Unlink(g.ctx, root, "d"); !errors.Is(err, ErrNotExist) {
			t.Errorf("unlink: %v", err)
		}
	})
}

func TestRenameDir(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		for _, key := range []string{"d/", "d/a", "d/sub/b", "other/"} {
			g.server.PutObject(key, []byte(strings.TrimSuffix(key, "/")[:1]+key), nil)
		}
		a := g.at("d/a")
		f, err := a.Open(g.ctx, false, false)
		g.ok(err)
		g.write("d/new", "unpublished")
		if err := g.rename("d", "d/sub/x"); !errors.Is(err, ErrInvalid) {
			t.Errorf("into itself: %v", err)
		}
		if err := g.rename("d/a", "d/sub"); !errors.Is(err, ErrIsDir) {
			t.Errorf("file over directory: %v", err)
		}
		if err := g.rename("other", "d"); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("over a full one: %v", err)
		}
		g.ok(g.rename("d", "other"))
		g.settle()
		g.keys("other/", "other/a", "other/new", "other/sub/b")
		g.wantLs("", "other/")
		g.wantLs("other", "a new sub/")
		g.wantLs("other/sub", "b")
		g.gone("d")
		g.wantFile("other/sub/b", "dd/sub/b")
		g.wantFile("other/new", "unpublished")
		if got := g.at("other/a"); got != a || a.Path() != "other/a" {
			t.Errorf("a is another node now: %v, %v", got, a)
		}
		if got := g.read(f); got != "dd/a" {
			t.Errorf("the open file reads %q", got)
		}
		f.CloseHandle(false)
	})
}

func TestRenameFiles(t *testing.T) {
	for _, published := range []bool{false, true} {
		treeSim(t, "", func(t *testing.T, g *treeRig) {
			settle := func() {
				if published {
					g.settle()
				}
			}
			a := g.write("a", "was a")
			g.write("b", "was b")
			settle()
			g.ok(g.rename("a", "c"))
			settle()
			g.ok(g.rename("b", "a"))
			settle()
			g.ok(g.rename("c", "b"))
			if a.Path() != "b" || g.at("b") != a {
				t.Errorf("the node is at %q", a.Path())
			}
			g.wantLs("", "a b")
			g.settle()
			g.keys("a", "b")
			g.wantFile("a", "was b")
			g.wantFile("b", "was a")
			ad, an := g.parent("a")
			if err := g.tree.Rename(g.ctx, ad, an, ad, "b", true); !errors.Is(err, ErrExist) {
				t.Errorf("RENAME_NOREPLACE: %v", err)
			}
			g.ok(g.rename("a", "b"))
			g.settle()
			g.keys("b")
			g.wantLs("", "b")
			g.wantFile("b", "was b")
		})
	}
}

func TestSymlink(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		n, err := g.tree.Symlink(g.ctx, g.tree.Root(), "link", "to/there", 1, 2)
		g.ok(err)
		if _, err := g.tree.Symlink(g.ctx, g.tree.Root(), "link", "x", 1, 2); !errors.Is(err, ErrExist) {
			t.Errorf("again: %v", err)
		}
		g.settle()
		n.Forget()
		time.Sleep(2 * treeTTL)
		n = g.at("link")
		if target, err := n.Readlink(g.ctx); target != "to/there" || err != nil || n.Kind() != KindLink {
			t.Errorf("%q, %v, kind %v", target, err, n.Kind())
		}
		if a := n.Known(); a.Size != 8 || a.Mode != 0o777 {
			t.Errorf("%+v", a)
		}
		if _, err := g.tree.Root().Readlink(g.ctx); !errors.Is(err, ErrInvalid) {
			t.Errorf("readlink of a directory: %v", err)
		}
	})
}

func TestXattrs(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.PutObject("k", []byte("data"), http.Header{"X-Amz-Meta-Color": {"red"}})
		n := g.at("k")
		value := bytes.Repeat([]byte{0, 0xff}, 100)
		g.ok(n.SetXattr(g.ctx, "user.a", value, XattrCreate))
		for _, c := range []struct {
			name  string
			size  int
			flags int
			want  error
		}{
			{"user.a", 1, XattrCreate, ErrExist}, {"user.b", 1, XattrReplace, ErrNoAttr}, {"system.x", 1, 0, ErrNotSupported},
			{"user.big", 2048, 0, ErrNoSpace},
		} {
			if err := n.SetXattr(g.ctx, c.name, make([]byte, c.size), c.flags); !errors.Is(err, c.want) {
				t.Errorf("set %s: %v, want %v", c.name, err, c.want)
			}
		}
		g.settle()
		n.Forget()
		time.Sleep(2 * treeTTL)
		n = g.at("k")
		if v, err := n.Xattr(g.ctx, "user.a"); !bytes.Equal(v, value) || err != nil {
			t.Errorf("%d bytes, %v", len(v), err)
		}
		if names, err := n.ListXattr(g.ctx); fmt.Sprint(names) != "[user.a]" || err != nil {
			t.Errorf("%v, %v", names, err)
		}
		g.ok(n.RemoveXattr(g.ctx, "user.a"))
		if _, err := n.Xattr(g.ctx, "user.a"); !errors.Is(err, ErrNoAttr) {
			t.Errorf("removed: %v", err)
		}
		g.settle()
		h := g.server.Header("k")
		if h.Get("X-Amz-Meta-Color") != "red" || h.Get("X-Amz-Meta-Xattr") != "" {
			t.Errorf("the object carries %v", h)
		}
	})
}

// Who has the old version open reads on in it, or gets ErrStale, but never a mix.
func TestChangedByAnotherClient(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.PutObject("k", []byte("one"), nil)
		n := g.at("k")
		f, err := n.Open(g.ctx, false, false)
		g.ok(err)
		if got := g.read(f); got != "one" {
			t.Fatalf("reads %q", got)
		}
		g.server.PutObject("k", []byte("two!"), nil)
		time.Sleep(2 * treeTTL)
		now := g.at("k")
		if now == n || now.Ino() == n.Ino() {
			t.Error("the changed file has the node of the open one")
		}
		g.wantFile("k", "two!")
		if got := g.read(f); got == "two" || got == "two!" {
			t.Errorf("the open file reads %q", got)
		}
		f.CloseHandle(false)
		g.server.PutObject("k", []byte("three"), nil)
		time.Sleep(2 * treeTTL)
		if g.at("k") != now {
			t.Error("a file that nobody has open keeps its node")
		}
		g.wantFile("k", "three")
		g.server.Delete("k")
		time.Sleep(2 * treeTTL)
		g.gone("k")
		g.wantLs("", "")
	})
}

func TestAttributes(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.PutObject("k", []byte("data"), http.Header{"X-Amz-Meta-Mtime": {"1500000000.5"}, "X-Amz-Meta-Mode": {"33152"}, "X-Amz-Meta-Uid": {"7"}})
		n := g.at("k")
		a, err := n.Attr(g.ctx)
		if err != nil || a.Mode != 0o600 || a.UID != 7 || a.Mtime.UnixNano() != 1_500_000_000_500_000_000 || !a.Exact {
			t.Errorf("%+v, %v", a, err)
		}
		mode, size, mtime := uint32(0o644), int64(2), time.Unix(1_400_000_000, 1)
		_, err = n.SetAttr(g.ctx, Change{Mode: &mode, Size: &size, Mtime: &mtime})
		g.ok(err)
		g.server.ClearRequests()
		g.settle()
		if n := g.server.Count("PutObject") + g.server.Count("CopyObject"); n != 1 {
			t.Errorf("%d publications", n)
		}
		h := g.server.Header("k")
		if data, _ := g.server.Object("k"); string(data) != "da" || h.Get("X-Amz-Meta-Mode") != "33188" || h.Get("X-Amz-Meta-Mtime") != "1400000000.000000001" {
			t.Errorf("%q with %v", data, h)
		}
		if a, err = n.Attr(g.ctx); err != nil || !a.Mtime.Equal(mtime) || a.Size != 2 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

func TestReadOnly(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.PutObject("k", []byte("data"), nil)
		g.tree.opts.ReadOnly = true
		n, mode := g.at("k"), uint32(0)
		_, _, create := g.tree.Create(g.ctx, g.tree.Root(), "x", 0, 0, 0, false)
		_, mkdir := g.tree.Mkdir(g.ctx, g.tree.Root(), "x", 0, 0, 0)
		_, setattr := n.SetAttr(g.ctx, Change{Mode: &mode})
		_, open := n.Open(g.ctx, true, false)
		for name, err := range map[string]error{
			"create": create, "mkdir": mkdir, "setattr": setattr, "open": open, "unlink": g.unlink("k"), "rename": g.rename("k", "x"),
			"rmdir": g.tree.Rmdir(g.ctx, g.tree.Root(), "k"), "setxattr": n.SetXattr(g.ctx, "user.a", nil, 0),
		} {
			if !errors.Is(err, ErrReadOnly) || Classify(err) != ClassReadOnly {
				t.Errorf("%s: %v", name, err)
			}
		}
		g.wantFile("k", "data")
	})
}

// Another client gives an object other metadata in the second in which it was
// written and asked for: ETag, size and time are the same.
func TestMetadataChangedWithinASecond(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		for _, mode := range []uint32{0o600, 0o640} {
			g.server.PutObject("k", []byte("data"), http.Header{"X-Amz-Meta-Mode": {fmt.Sprint(transfer.ModeFile | mode)}})
			a, err := g.at("k").Attr(g.ctx)
			if err != nil || mode == 0o600 && a.Mode != mode {
				t.Fatalf("%+v, %v", a, err)
			}
		}
		g.at("k").Forget()
		time.Sleep(2 * treeTTL)
		if a, err := g.at("k").Attr(g.ctx); err != nil || a.Mode != 0o640 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
