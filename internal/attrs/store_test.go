package attrs

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3"
)

var second = time.Unix(1_700_000_000, 0)

func sample(key string) s3.Object {
	return s3.Object{
		Key: key, ETag: `"e"`, VersionID: "v", Size: 7, LastModified: second, Date: second.Add(sameSecond), HasProps: true,
		Props: s3.Properties{
			ContentType: "video/quicktime", CacheControl: "no-store", SSE: "aws:kms", SSEKMSKey: "k", BucketKey: true, TagCount: 2,
			StorageClass: "STANDARD_IA", Meta: map[string]string{"mtime": "1.5", "note": "grün"},
		},
	}
}

// listed is the object as a listing names it.
func listed(o s3.Object) s3.Object {
	return s3.Object{Key: o.Key, ETag: o.ETag, Size: o.Size, LastModified: o.LastModified, StorageClass: o.Props.StorageClass}
}

func openAt(t *testing.T, dir string, limit int) *Store {
	t.Helper()
	s, err := Open(Options{Dir: dir, Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func recalls(s *Store, o s3.Object) bool {
	list := []s3.Object{o}
	s.Recall(list)
	return list[0].HasProps
}

func TestRecallAfterRestart(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, 0)
	o := sample("d/k")
	s.Fetched(o)
	for range 2 {
		list := []s3.Object{listed(sample("other")), listed(o)}
		s.Recall(list)
		if list[0].HasProps || !list[1].HasProps || !reflect.DeepEqual(list[1].Props, o.Props) || list[1].VersionID != "v" {
			t.Fatalf("recalled %+v", list)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openAt(t, dir, 0)
	}
	s.Forget("", "d/")
	if recalls(s, listed(o)) {
		t.Error("a forgotten object is recalled")
	}
	s.Close()
}

// Whatever a listing can show of another version, it is not answered for.
func TestOtherVersions(t *testing.T) {
	s := openAt(t, t.TempDir(), 0)
	defer s.Close()
	o := sample("k")
	s.Fetched(o)
	for name, change := range map[string]func(o *s3.Object){
		"etag": func(o *s3.Object) { o.ETag = `"f"` }, "size": func(o *s3.Object) { o.Size++ },
		"later": func(o *s3.Object) { o.LastModified = second.Add(time.Second) }, "earlier": func(o *s3.Object) { o.LastModified = second.Add(-time.Second) },
		"class": func(o *s3.Object) { o.StorageClass = "GLACIER" }, "key": func(o *s3.Object) { o.Key = "kk" },
	} {
		other := listed(o)
		change(&other)
		if recalls(s, other) {
			t.Errorf("%s: another version is taken for the remembered one", name)
		}
	}
	if !recalls(s, listed(o)) {
		t.Error("the version itself is not recalled")
	}
}

// Within the second of its last change an object may change without a trace.
func TestSameSecond(t *testing.T) {
	s := openAt(t, t.TempDir(), 0)
	defer s.Close()
	o := sample("k")
	o.Date = second.Add(sameSecond - time.Second)
	s.Fetched(o)
	if recalls(s, listed(o)) {
		t.Error("what was asked for too soon is remembered")
	}
	o.Date = time.Time{}
	s.Fetched(o)
	if recalls(s, listed(o)) {
		t.Error("an answer without a date is remembered")
	}
}

// What we wrote is known at once; the first listing binds it to a time.
func TestWrote(t *testing.T) {
	s := openAt(t, t.TempDir(), 0)
	defer s.Close()
	o := sample("k")
	o.Date = second
	s.Wrote(o)
	late := listed(o)
	late.LastModified = second.Add(lateDate + time.Second)
	if recalls(s, late) {
		t.Error("a later change by another client is taken for ours")
	}
	early := listed(o)
	early.LastModified = second.Add(-3 * time.Second)
	if !recalls(s, early) {
		t.Error("ours is not recalled")
	}
	if recalls(s, listed(o)) {
		t.Error("it has two times")
	}
}

func TestBounded(t *testing.T) {
	s := openAt(t, t.TempDir(), 100)
	defer s.Close()
	for i := range 30 {
		for k := range 10 {
			s.Fetched(sample(fmt.Sprint(i, "/", k)))
		}
		if !recalls(s, listed(sample("0/0"))) { // of use, so it stays
			t.Fatalf("round %d: what is used is forgotten", i)
		}
		if err := s.flush(0); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for i := range 30 {
		for k := range 10 {
			if recalls(s, listed(sample(fmt.Sprint(i, "/", k)))) {
				n++
			}
		}
	}
	if n > 110 || n < 40 {
		t.Errorf("%d records are kept, the limit is 100", n)
	}
}

// A file that is damaged, or of another version, is made anew.
func TestUseless(t *testing.T) {
	for name, content := range map[string][]byte{"empty": nil, "noise": []byte("this is no database at all"), "zeros": make([]byte, 1<<16)} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "attrs.db"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		s := openAt(t, dir, 0)
		s.Fetched(sample("k"))
		if err := s.flush(0); err != nil || !recalls(s, listed(sample("k"))) {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
	}
}

// A file that is cut while it is in use costs what it held, not the mount.
func TestDamagedWhileOpen(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, 0)
	for i := range 3000 {
		s.Fetched(sample(fmt.Sprintf("key %06d", i)))
	}
	if err := s.flush(0); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "attrs.db"), 8<<10); err != nil {
		t.Fatal(err)
	}
	recalls(s, listed(sample("key 002999")))
	s.Fetched(sample("k"))
	if recalls(s, listed(sample("k"))) {
		t.Error("a broken store goes on")
	}
	s.Close()
	s = openAt(t, dir, 0)
	defer s.Close()
	s.Fetched(sample("k"))
	if !recalls(s, listed(sample("k"))) {
		t.Error("it is not made anew")
	}
}

func FuzzDecode(f *testing.F) {
	o := sample("k")
	f.Add(encode(fetched, second, &o))
	f.Fuzz(func(t *testing.T, raw []byte) {
		kind, at, o, err := decode(raw)
		if err != nil {
			return
		}
		_, _, again, err := decode(encode(kind, at, &o))
		if err != nil || !reflect.DeepEqual(again, o) {
			t.Errorf("%+v became %+v, %v", o, again, err)
		}
	})
}

// A crash loses what was written last. What it leaves must not be taken for that, so
// nothing goes to disk within the seconds in which a version looks like the one before.
func TestCrashSoonAfterAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := openAt(t, dir, 0)
		defer s.Close()
		crashed := func() *Store {
			image := t.TempDir()
			raw, err := os.ReadFile(filepath.Join(dir, "attrs.db"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(image, "attrs.db"), raw, 0o600); err != nil {
				t.Fatal(err)
			}
			return openAt(t, image, 0)
		}
		s.Fetched(sample("other")) // it is written meanwhile
		time.Sleep(flushAfter - time.Second)
		o := sample("k")
		o.Date = time.Now()
		s.Wrote(o)
		time.Sleep(lateDate + time.Second/2)
		synctest.Wait()
		now := listed(o)
		now.LastModified = time.Now().Truncate(time.Second) // changed again, and then the crash
		after := crashed()
		if recalls(after, now) {
			t.Error("an older version is taken for the present one")
		}
		after.Close()
		time.Sleep(2 * flushAfter)
		synctest.Wait()
		now.LastModified = o.Date.Truncate(time.Second)
		after = crashed()
		if !recalls(after, now) {
			t.Error("it never gets to the disk")
		}
		after.Close()
	})
}

// The same over a restart in between: the first process writes what it remembers when it
// ends, and the next one changes the object within the second.
func TestCrashSoonAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := openAt(t, dir, 0)
		o := sample("k")
		o.Date = time.Now()
		s.Wrote(o)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openAt(t, dir, 0)
		defer s.Close()
		now := listed(o)
		now.LastModified = o.Date.Truncate(time.Second)
		if !recalls(s, now) {
			t.Fatal("a clean end loses what it remembered")
		}
		s.Wrote(o)
		raw, err := os.ReadFile(filepath.Join(dir, "attrs.db"))
		if err != nil {
			t.Fatal(err)
		}
		image := t.TempDir()
		if err := os.WriteFile(filepath.Join(image, "attrs.db"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		after := openAt(t, image, 0)
		defer after.Close()
		if recalls(after, now) {
			t.Error("what the object carried before the change is taken for the present")
		}
	})
}

// TestMarks: they part the entries of a directory evenly, whichever generation has them.
func TestMarks(t *testing.T) {
	s := openAt(t, t.TempDir(), 60)
	defer s.Close()
	for i := range 40 {
		for _, key := range []string{fmt.Sprintf("d/%02d", i), fmt.Sprintf("d/sub/%02d", i), fmt.Sprintf("e/%02d", i)} {
			if key[0] == 'd' && i < 20 || i%2 == 0 && key[2] != 's' {
				s.Fetched(sample(key))
			}
		}
		if i%10 == 9 {
			if err := s.flush(0); err != nil {
				t.Fatal(err)
			}
		}
	}
	var below int
	for _, key := range s.Marks("d/", 1) {
		if len(key) != len("d/00") || key[:2] != "d/" {
			t.Errorf("%q is a mark", key)
		}
		below++
	}
	if below < 20 || len(s.Marks("d/", 5)) < 4 {
		t.Errorf("marks of d/: %q, one by one %d", s.Marks("d/", 5), below)
	}
	if marks := s.Marks("", 1); len(marks) != 0 {
		t.Errorf("directories are marks: %q", marks)
	}
	if marks := s.Marks("f/", 1); len(marks) != 0 {
		t.Errorf("marks of what was never seen: %q", marks)
	}
	var none *Store
	if none.Marks("d/", 1) != nil {
		t.Error("nothing has marks")
	}
}
