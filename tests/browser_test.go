//go:build linux

package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// browserPage plays a film that lies beside it at four places, keeps a value, gets a file,
// and tells the server in %[1]s what came of it.
const browserPage = `<html><body><video id=v muted></video><script>
const v = document.getElementById('v')
const seek = t => new Promise((ok, no) => { v.onseeked = ok; v.onerror = no; v.currentTime = t })
const load = new Promise((ok, no) => { v.onloadeddata = ok; v.onerror = () => no(v.error.message); v.src = 'film.webm' })
const play = async () => {
  await load
  const at = []
  for (const t of [3, 1, 2.5, 0.5]) { await seek(t); at.push(v.currentTime.toFixed(1)) }
  localStorage.setItem('visits', (localStorage.getItem('visits') || '') + '|')
  return v.videoWidth + ' ' + at.join(' ') + ' ' + localStorage.getItem('visits')
}
play().catch(e => 'failed: ' + e).then(r => {
  location.href = '%[1]s/clip.bin'
  fetch('%[1]s/told?' + encodeURIComponent(r))
})
</script></body></html>`

// TestBrowser lets Chromium play a film from the mount, keep its profile (SQLite, LevelDB,
// locks, shared mappings) on it, and save a file of 20 MiB to it, twice and after a remount.
func TestBrowser(t *testing.T) {
	if !long() {
		t.Skip("LONG=1 runs a browser; it needs chromium")
	}
	onServers(t, func(t *testing.T, s *server) {
		clip := noise(7, 20<<20)
		told := make(chan string, 1)
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/told" {
				w.Header().Set("Access-Control-Allow-Origin", "*")
				told <- r.URL.RawQuery
				return
			}
			w.Header().Set("Content-Disposition", `attachment; filename="clip.bin"`)
			http.ServeContent(w, r, "clip.bin", time.Time{}, bytes.NewReader(clip))
		}))
		defer web.Close()
		m := newMount(t, s)
		shell(t, "ffmpeg -v error -f lavfi -i testsrc=s=320x180:d=4:r=25 -c:v libvpx -b:v 500k "+m.path("film.webm"))
		write(t, m.path("page.html"), fmt.Appendf(nil, browserPage, web.URL))
		for visit := range 2 {
			saved := m.path("saved", fmt.Sprint(visit))
			stop := browse(t, m.path("profile"), saved, "file://"+m.path("page.html"))
			var got string
			select {
			case got = <-told:
			case <-time.After(patient(time.Minute)):
				got = "nothing"
			}
			eventually(t, patient(time.Minute), func() error {
				if b, err := os.ReadFile(filepath.Join(saved, "clip.bin")); err != nil || !bytes.Equal(b, clip) {
					return fmt.Errorf("%d bytes of the file are saved: %v", len(b), err)
				}
				return nil
			})
			stop()
			if want := "320%203.0%201.0%202.5%200.5%20" + "%7C%7C"[:3*(visit+1)]; got != want {
				t.Errorf("visit %d: the page says %s, want %s", visit, got, want)
			}
			m.remountCold()
		}
		for visit := range 2 {
			if got := read(t, m.path("saved", fmt.Sprint(visit), "clip.bin")); !bytes.Equal(got, clip) {
				t.Errorf("the file of visit %d has other bytes after a remount", visit)
			}
		}
	})
}

// browse starts a browser with its profile and its downloads in these directories. The
// function that it returns ends it.
func browse(t *testing.T, profile, saved, url string) (stop func()) {
	t.Helper()
	prefs, err := json.Marshal(map[string]any{"download": map[string]any{"default_directory": saved, "prompt_for_download": false}})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(profile, "Default"), saved} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(profile, "Default", "Preferences"), prefs)
	cmd := exec.Command("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--user-data-dir="+profile, url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log := &syncBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	end := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patient(20 * time.Second)):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
			t.Errorf("the browser does not end:\n%s", tail(log.String(), 2000))
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the browser says:\n%s", tail(log.String(), 2000))
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // also where the test ended before stop
	})
	return end
}
