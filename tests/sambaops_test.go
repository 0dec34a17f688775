//go:build linux

package tests

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestSambaCopies puts files and folders, gets them back, renames and removes them.
func TestSambaCopies(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		m, b := sambaMount(t, s)
		const size = 200 << 20
		sum := randomFile(t, b.file("card.mov"), size)
		b.do("mkdir day1; cd day1; put card.mov clip.mov; rename clip.mov take1.mov; get take1.mov back.mov")
		if got := fileSum(t, b.file("back.mov")); got != sum {
			t.Errorf("got back at once: %s, want %s", got, sum)
		}
		m.succeed("wait", m.dir)
		if n, got, err := s.sha256(m.bucket, "day1/take1.mov"); err != nil || n != size || got != sum {
			t.Errorf("in the bucket: %d bytes, sha256 %s, err %v; want %d bytes, %s", n, got, err, size, sum)
		}
		b.do("rename day1 day2; put card.mov day2\\new.mov; rename day2\\new.mov day2\\take1.mov -f; get day2\\take1.mov back.mov")
		if got := fileSum(t, b.file("back.mov")); got != sum {
			t.Errorf("got back behind renames: %s, want %s", got, sum)
		}

		for i := range 40 {
			dir := filepath.Join(b.dir, "tree", fmt.Sprint("d", i%4), "deep")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, fmt.Sprint("f", i)), bytes.Repeat([]byte{byte(i)}, 1000*i))
		}
		b.do("recurse on; prompt off; mput tree; mkdir empty; mkdir gone; rmdir gone; lcd " + t.TempDir() + "; mget tree")
		shell(t, "diff -r "+b.file("tree")+" "+m.path("tree"))
		m.succeed("wait", m.dir)
		shell(t, "rm -r "+b.file("tree"))
		b.do("recurse on; prompt off; mget tree")
		shell(t, "diff -r "+b.file("tree")+" "+m.path("tree"))
		b.refuse("NT_STATUS_DIRECTORY_NOT_EMPTY", "rmdir tree")
		b.do("deltree tree; del day2\\take1.mov; rmdir day2")
		if got := shell(t, "ls -A "+m.dir); got != "empty\n" {
			t.Errorf("left behind: %q, want the empty folder", got)
		}
	})
}

// TestSambaStreams keeps what Finder and Explorer put beside the bytes of a file, over
// renames and in the bucket, or refuses it.
func TestSambaStreams(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		m, b := sambaMount(t, s)
		finder := append([]byte("AFP\x00\x00\x00\x01\x00\x00\x00\x00\x00\x80\x00\x00\x00TESTCODE"), make([]byte, 36)...)
		want := map[string]int64{"AFP_AfpInfo": int64(len(finder)), "AFP_Resource": 300_000, "Zone.Identifier": 100, "com.apple.quarantine": 60}
		write(t, b.file("AFP_AfpInfo"), finder)
		sum := randomFile(t, b.file("clip.mov"), 1<<20)
		put := "put clip.mov"
		sums := map[string]string{}
		for name, size := range want {
			if name != "AFP_AfpInfo" {
				sums[name] = randomFile(t, b.file(name), size)
			} else {
				sums[name] = fileSum(t, b.file(name))
			}
			put += "; put " + name + " clip.mov:" + name
		}
		b.do(put)
		b.do("rename clip.mov take1.mov")
		b.stop()
		m.remountCold()
		b.start()
		info := b.do("allinfo take1.mov")
		for name, size := range want {
			if line := fmt.Sprintf("stream: [:%s:$DATA], %d bytes", name, size); !strings.Contains(info, line) {
				t.Errorf("no %q in\n%s", line, info)
			}
			b.do("get take1.mov:" + name + " back")
			if got := fileSum(t, b.file("back")); got != sums[name] {
				t.Errorf("%s: sha256 %s, want %s", name, got, sums[name])
			}
		}
		if ls := b.do("ls"); strings.Contains(ls, "._") {
			t.Errorf("clients see where the resource fork is:\n%s", ls)
		}
		if st, err := os.Stat(m.path("._take1.mov")); err != nil || st.Size() < want["AFP_Resource"] {
			t.Errorf("the object of the resource fork: %v, %v", st, err)
		}

		randomFile(t, b.file("large"), 5000)
		randomFile(t, b.file("half"), 900)
		b.refuse("NT_STATUS_FILE_SYSTEM_LIMITATION", "put large take1.mov:large")
		b.refuse("NT_STATUS_DISK_FULL", "put half take1.mov:half; put half take1.mov:more")
		b.do("get take1.mov back; get take1.mov:AFP_AfpInfo info")
		if got := fileSum(t, b.file("back")); got != sum {
			t.Errorf("the file behind streams that were refused: %s, want %s", got, sum)
		}
		if got := fileSum(t, b.file("info")); got != sums["AFP_AfpInfo"] {
			t.Error("a stream that was refused has changed another")
		}
		randomFile(t, b.file("most"), 1150)
		b.do("put half other; put most other:most; get other:most back")
		if fileSum(t, b.file("back")) != fileSum(t, b.file("most")) {
			t.Error("a stream of 1150 bytes comes back different")
		}
		b.do("del take1.mov; del other")
		if got := shell(t, "ls -A "+m.dir); got != "" {
			t.Errorf("left behind: %q", got)
		}
	})
}

var createTime = regexp.MustCompile(`create_time: .*`)

// TestSambaAttributes keeps DOS attributes and all times in the bucket.
func TestSambaAttributes(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		m, b := sambaMount(t, s)
		randomFile(t, b.file("clip.mov"), 1<<20)
		b.do("mkdir dir; put clip.mov; setmode clip.mov +rh; setmode dir +h; utimes clip.mov 2001:02:03-04:05:06 -1 2002:03:04-05:06:07 -1")
		m.succeed("wait", m.dir)
		before := b.do("allinfo clip.mov; allinfo dir")
		b.stop()
		m.remountCold()
		b.start()
		after := b.do("allinfo clip.mov; allinfo dir")
		for _, want := range []string{"attributes: RHA (23)", "attributes: HD (12)", "Feb  3 04:05:06", "Mar  4 05:06:07"} {
			if !strings.Contains(after, want) {
				t.Errorf("no %q behind a remount:\n%s", want, after)
			}
		}
		if got, want := createTime.FindAllString(after, -1), createTime.FindAllString(before, -1); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("created at %q behind a remount, at %q before", got, want)
		}
		b.refuse("NT_STATUS_CANNOT_DELETE", "del clip.mov")
		b.do("setmode clip.mov -rh; del clip.mov; rmdir dir")
	})
}

// TestSambaNames finds names whatever their case, and shows those that Windows cannot
// have as macOS maps them.
func TestSambaNames(t *testing.T) {
	m, b := sambaMount(t, embedded(t))
	write(t, m.path("Interview.MOV"), []byte("interview"))
	write(t, m.path("take 1?.mov"), []byte("question"))
	shell(t, "mkdir -m 777 "+m.path("Süd"))
	b.do("get interview.mov one; get \"take 1\uf025.mov\" two; put one \"süd\\a\uf022b.mov\"")
	for name, want := range map[string]string{b.file("one"): "interview", b.file("two"): "question", m.path("Süd", "a:b.mov"): "interview"} {
		if got := string(read(t, name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := strings.TrimSpace(shell(t, "ls "+m.dir+" | wc -l")); got != "3" {
		t.Errorf("%s names, want 3", got)
	}
}

// TestSambaGrowingFile reads a file while another client writes it, kills that client,
// and writes it again.
func TestSambaGrowingFile(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		m, b := sambaMount(t, s)
		const size = 120 << 20
		sum := randomFile(t, b.file("clip.mov"), size)
		all := read(t, b.file("clip.mov"))
		writer := b.client("put - growing.mov")
		in, err := writer.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(all[:size/2]); err != nil {
			t.Fatal(err)
		}
		const enough = 20 << 20 // the client keeps some back
		eventually(t, 30*time.Second, func() error {
			st, err := os.Stat(m.path("growing.mov"))
			if err == nil && st.Size() < enough {
				err = fmt.Errorf("%d bytes on the mount", st.Size())
			}
			return err
		})
		b.do("get growing.mov part.mov")
		if got := read(t, b.file("part.mov")); len(got) < enough || !bytes.HasPrefix(all, got) {
			t.Errorf("another client reads %d bytes, equal %v", len(got), bytes.HasPrefix(all, got))
		}
		if err := writer.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = writer.Wait()
		b.do("put clip.mov growing.mov; get growing.mov back.mov")
		m.succeed("wait", m.dir)
		if got := fileSum(t, b.file("back.mov")); got != sum {
			t.Errorf("got back: %s, want %s", got, sum)
		}
		if n, got, err := s.sha256(m.bucket, "growing.mov"); err != nil || n != size || got != sum {
			t.Errorf("in the bucket: %d bytes, sha256 %s, err %v; want %d bytes, %s", n, got, err, size, sum)
		}
		if parts, _, err := s.uploadedParts(m.bucket, ""); err != nil || parts != 0 {
			t.Errorf("%d parts of unfinished uploads left, err %v", parts, err)
		}
		if err := os.Truncate(b.file("back.mov"), 7<<20); err != nil { // goes on where it broke off
			t.Fatal(err)
		}
		b.do("reget growing.mov back.mov")
		if got := fileSum(t, b.file("back.mov")); got != sum {
			t.Errorf("reget: %s, want %s", got, sum)
		}
	})
}

// TestSambaServerCopy lets the server copy a published file: no byte of it passes.
func TestSambaServerCopy(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		front, p := through(t, s)
		m, b := sambaMount(t, front)
		sum := randomFile(t, b.file("clip.mov"), 100<<20)
		b.do("put clip.mov")
		m.succeed("wait", m.dir)
		p.reset()
		b.do("scopy clip.mov copy.mov; get copy.mov back.mov")
		m.succeed("wait", m.dir)
		if got := fileSum(t, b.file("back.mov")); got != sum {
			t.Errorf("the copy reads %s, want %s", got, sum)
		}
		if _, got, err := s.sha256(m.bucket, "copy.mov"); err != nil || got != sum {
			t.Errorf("the copy in the bucket: sha256 %s, err %v; want %s", got, err, sum)
		}
		for _, r := range p.matching(request.movesData) {
			if r.method != "GET" && r.length > 1<<10 {
				t.Errorf("%s %s?%s with %d bytes", r.method, r.path, r.query, r.length)
			}
		}
	})
}
