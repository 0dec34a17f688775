package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// clip is one file of footage.
type clip struct {
	name  string
	what  string
	codec []string
}

func clips() []clip {
	const prores, h264 = "prores_aw -profile:v 3 -pix_fmt yuv422p10le", "libx264 -preset ultrafast -b:v 60M -g 25 -pix_fmt yuv420p"
	return []clip{
		{"A001.mov", "ProRes 422 HQ, 1080p25, 3 s", strings.Fields("-t 3 -c:v " + prores + " -c:a pcm_s16le")},
		{"B001.mp4", "H.264, 1080p25, 8 s, index at the end", strings.Fields("-t 8 -c:v " + h264 + " -c:a aac")},
	}
}

// script is the demo that runs by itself.
func (d *demo) script(ctx context.Context) error {
	for _, tool := range []string{"ffmpeg", "rsync", "cp"} {
		if _, err := exec.LookPath(tool); err != nil {
			return &problem{cause: tool + " is missing", remedy: "install it with: apt-get install ffmpeg rsync", err: err}
		}
	}
	started := time.Now()
	steps := []func(context.Context) error{d.shoot, d.firstMount, d.copyIn, d.remountCold, d.playBack, d.compare}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := d.unmount(ctx); err != nil {
		return err
	}
	d.title("All is well")
	d.say("unmounted, %.0f s in all", time.Since(started).Seconds())
	return nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.std.out, "  "+format+"\n", args...) }
func (d *demo) title(text string)              { fmt.Fprintf(d.std.out, "\n%s\n", text) }
func (d *demo) card() string                   { return filepath.Join(d.dir, "card") }

// tool runs a program, shows its line, and returns how long it took.
func (d *demo) tool(ctx context.Context, name string, args ...string) (time.Duration, error) {
	d.say("$ %s", d.short(name, args))
	started := time.Now()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = d.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, &problem{cause: fmt.Sprintf("%s failed: %v: %s", name, err, strings.TrimSpace(string(out))), remedy: "run the demo in a directory of your own (s3mount demo DIR) to look closer", err: err}
	}
	return time.Since(started), nil
}

// short is a command line without the long temporary directory.
func (d *demo) short(name string, args []string) string {
	return strings.ReplaceAll(name+" "+strings.Join(args, " "), d.dir+"/", "")
}

func (d *demo) shoot(ctx context.Context) error {
	d.title("Footage, made on local disk")
	if err := os.MkdirAll(d.card(), 0o755); err != nil {
		return err
	}
	for _, c := range clips() {
		path := filepath.Join(d.card(), c.name)
		args := []string{"-nostdin", "-v", "error", "-y",
			"-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=25,noise=alls=4:allf=t", "-f", "lavfi", "-i", "sine=440:r=48000"}
		cmd := exec.CommandContext(ctx, "ffmpeg", append(append(args, c.codec...), path)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return &problem{cause: "ffmpeg cannot make " + c.name + ": " + string(out), remedy: "install an ffmpeg with libx264 and prores", err: err}
		}
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		d.say("card/%s  %s  %s", c.name, bytesText(st.Size()), c.what)
	}
	return nil
}

func (d *demo) firstMount(ctx context.Context) error {
	d.title("A bucket, mounted")
	d.say("$ %s", d.short("s3mount", d.mountLine()))
	return d.mount(ctx)
}

func (d *demo) copyIn(ctx context.Context) error {
	d.title("Copied in, by two programs")
	total, err := treeSize(d.card())
	if err != nil {
		return err
	}
	day1, day2 := filepath.Join(d.mountpoint(), "day1"), filepath.Join(d.mountpoint(), "day2")
	for _, line := range [][]string{{"cp", "-a", d.card(), day1}, {"rsync", "-a", d.card() + "/", day2 + "/"}} {
		took, err := d.tool(ctx, line[0], line[1:]...)
		if err != nil {
			return err
		}
		d.rate(total, took, "safe on local disk")
	}
	d.say("$ s3mount wait mnt")
	started := time.Now()
	if err := (waitCmd{Paths: []string{d.mountpoint()}}).Run(ctx, d.std); err != nil {
		return err
	}
	d.say("    all of it is in the bucket, %.1f s later", time.Since(started).Seconds())
	return nil
}

func (d *demo) remountCold(ctx context.Context) error {
	d.title("Mounted again, with an empty cache")
	d.say("$ s3mount umount mnt")
	if err := d.unmount(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(d.cache()); err != nil {
		return err
	}
	d.say("$ %s", d.short("s3mount", d.mountLine()))
	return d.mount(ctx)
}

func (d *demo) playBack(ctx context.Context) error {
	d.title("Played from the mount")
	for _, path := range []string{"day1/A001.mov", "day2/B001.mp4"} {
		path = filepath.Join(d.mountpoint(), path)
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		took, err := d.tool(ctx, "ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", path, "-f", "null", "-")
		if err != nil {
			return err
		}
		d.rate(st.Size(), took, "decoded to the last frame")
	}
	return nil
}

// compare takes the objects from the server by a client of its own, and the
// files from the mount, and compares both with what was shot.
func (d *demo) compare(ctx context.Context) error {
	d.title("Compared, byte for byte")
	s3 := plainClient{d.server.Endpoint(), d.server.AccessKey, d.server.SecretKey}
	for _, day := range []string{"day1", "day2"} {
		for _, c := range clips() {
			key := day + "/" + c.name
			want, err := fileSum(filepath.Join(d.card(), c.name))
			if err != nil {
				return err
			}
			inMount, err := fileSum(filepath.Join(d.mountpoint(), key))
			if err != nil {
				return err
			}
			body, err := s3.get(ctx, demoBucket, key)
			if err != nil {
				return err
			}
			inBucket, err := digest(body)
			body.Close()
			if err != nil {
				return err
			}
			if inMount != want || inBucket != want {
				return &problem{cause: fmt.Sprintf("%s differs: card %s, mount %s, bucket %s", key, want, inMount, inBucket), remedy: "this must never happen, please report it"}
			}
			d.say("%s  sha256 %s...  card = mount = bucket", key, want[:16])
		}
	}
	return nil
}

func (d *demo) rate(n int64, took time.Duration, what string) {
	d.say("    %s in %.1f s, %.0f MB/s, %s", bytesText(n), took.Seconds(), float64(n)/1e6/max(took.Seconds(), 1e-3), what)
}

func treeSize(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		st, err := e.Info()
		if err == nil {
			total += st.Size()
		}
		return err
	})
	return total, err
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digest(f)
}

func digest(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
