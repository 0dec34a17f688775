//go:build linux

package tests

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestTimeline renders a timeline with cuts between files of several formats by MLT, the engine
// of Kdenlive and Shotcut, from a cold mount, and into it: every frame is as from a local disk.
func TestTimeline(t *testing.T) {
	if !long() {
		t.Skip("LONG=1 renders a timeline; it needs melt")
	}
	local := t.TempDir()
	for file, codec := range map[string]string{
		"cam.mp4": "-c:v libx264 -preset ultrafast -g 50", "cam.mkv": "-c:v libx264 -preset ultrafast -g 50",
		"hq.mov": "-c:v prores_ks -profile:v 2", "dnx.mxf": "-c:v mpeg2video -b:v 8M",
	} {
		shell(t, fmt.Sprintf("ffmpeg -v error -f lavfi -i testsrc2=s=640x360:r=25:d=12 %s %s", codec, filepath.Join(local, file)))
	}
	timeline := func(dir, out string) string {
		shell(t, "cd "+dir+" && SDL_VIDEODRIVER=dummy SDL_AUDIODRIVER=dummy QT_QPA_PLATFORM=offscreen melt -silent -profile quarter_pal"+
			" cam.mp4 in=50 out=79 dnx.mxf in=20 out=49 hq.mov in=60 out=89 cam.mkv in=200 out=229 cam.mp4 in=150 out=179"+
			" -consumer avformat:"+out+" f=nut vcodec=rawvideo an=1 real_time=-1 </dev/null >/dev/null 2>&1")
		return shell(t, "ffmpeg -v error -i "+out+" -f framemd5 -")
	}
	want := timeline(local, filepath.Join(local, "want.nut"))
	onServers(t, func(t *testing.T, s *server) {
		m := newMount(t, s)
		shell(t, "cp "+local+"/cam.* "+local+"/hq.mov "+local+"/dnx.mxf "+m.path(""))
		m.remountCold()
		if got := timeline(m.path(""), m.path("got.nut")); got != want {
			t.Errorf("other frames than from a local disk:\n%s\nwant:\n%s", tail(got, 500), tail(want, 500))
		}
		m.remountCold()
		if got := shell(t, "ffmpeg -v error -i "+m.path("got.nut")+" -f framemd5 -"); got != want {
			t.Errorf("what was rendered is not what is in the bucket")
		}
	})
}
