package main

import (
	"os"
	"path/filepath"
	"time"

	"s3mount/bench/report"
)

// muxers are containers, each with what ffmpeg puts into it.
var muxers = []struct{ name, source string }{
	{"mp4", "video.mkv"}, {"mov", "video.mkv"}, {"mxf", "video.mkv"}, {"mkv", "video.mkv"}, {"wav", "sound.wav"},
}

// writeMux lets ffmpeg write into the mount. Each muxer goes back to patch
// what it wrote.
func writeMux() workload {
	var columns []report.Column
	for _, m := range muxers {
		columns = append(columns, report.Column{Metric: muxUp(m.name), Title: m.name + ": bytes up / size", Goal: "≤ 1.1 + 16 MiB"})
	}
	columns = append(columns,
		report.Column{Metric: seconds, Title: "all in the bucket, s"},
		report.Column{Metric: down, Title: "bytes down / payload"},
		report.Column{Metric: requests, Title: requests})
	return workload{
		name: "ffmpeg", store: (*bench).writeStore, profiles: []string{"L0", "L1"},
		title:   func(options) string { return "ffmpeg -c copy into the mount, about 200 MiB in each container" },
		columns: columns,
		prepare: func(t *trial) error { return t.sources.footage(t) },
		mount:   (*trial).mux,
	}
}

func muxUp(name string) string { return name + " up/size" }

func (t *trial) mux() error {
	dir := filepath.Join(t.mount.Dir, t.name)
	if _, err := t.command("mkdir", dir); err != nil {
		return err
	}
	local := filepath.Join(t.disk, t.name+".local")
	if err := os.MkdirAll(local, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(local)
	var total int64
	sizes := map[string]int64{}
	for _, m := range muxers { // what each has to become
		path := filepath.Join(local, "x."+m.name)
		if err := t.remux(m.source, path); err != nil {
			return err
		}
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		sizes[m.name] = st.Size()
		total += st.Size()
	}
	return t.measured(total, func(began time.Time) (done time.Time, err error) {
		for _, m := range muxers {
			before, err := t.link.Counts()
			if err != nil {
				return done, err
			}
			if err := t.remux(m.source, filepath.Join(dir, "x."+m.name)); err != nil {
				return done, err
			}
			if done, err = t.visible(t.ctx, t.name+"/x."+m.name, sizes[m.name]); err != nil {
				return done, err
			}
			after, err := t.link.Counts()
			if err != nil {
				return done, err
			}
			t.set(muxUp(m.name), float64(after.Sub(before).Up)/float64(sizes[m.name]))
		}
		return done, nil
	})
}

// remux copies a source into another container.
func (t *trial) remux(source, path string) error {
	_, err := t.command("ffmpeg", "-v", "error", "-nostdin", "-y", "-i", filepath.Join(t.sources.dir, source), "-c", "copy", path)
	return err
}
