package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
)

type doctorCmd struct {
	Bucket target `arg:"" optional:"" placeholder:"BUCKET[/PREFIX]" help:"Bucket, or a folder in it. Default: this machine only."`

	bucketFlags `group:"The bucket:"`
	writeFlags  `group:"What is written:"`

	CacheDir   string `default:"${cache}" placeholder:"DIR" help:"Cache directory of the mount (${cache})."`
	AllowTmpfs bool   `help:"Accept a cache directory in memory."`
	AllowOther bool   `help:"Check that other users may be let in."`
	ReadOnly   bool   `help:"Check what a read-only mount needs: write nothing."`
	JSON       bool   `name:"json" help:"Print JSON."`
}

func (doctorCmd) Help() string {
	return `Takes the flags of "s3mount mount". Writing is tried with a scratch object below the
prefix, .s3mount-doctor-RANDOM, which is removed afterwards. The exit code is 0 when
every line says ok.

Examples:
  s3mount doctor
  s3mount doctor footage/day1 --profile studio
  s3mount doctor public-data --anonymous --read-only`
}

// finding is one line of the doctor.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"` // what was found
	Remedy string `json:"remedy,omitempty"` // what to do, when not ok
}

// findings prints each finding when it is made.
type findings struct {
	out    io.Writer // nil: collect only
	all    []finding
	failed int
}

func (f *findings) ok(check, format string, args ...any) {
	f.add(finding{Check: check, OK: true, Detail: oneLine(fmt.Sprintf(format, args...))})
}

func (f *findings) fail(check, detail, remedy string) {
	f.add(finding{Check: check, Detail: oneLine(detail), Remedy: oneLine(remedy)})
}

// failErr adds an error, which brings its remedy.
func (f *findings) failErr(check string, err error) {
	detail, remedy := split(err)
	f.fail(check, detail, remedy)
}

func (f *findings) add(one finding) {
	f.all = append(f.all, one)
	if !one.OK {
		f.failed++
	}
	if f.out == nil {
		return
	}
	text := "ok   " + one.Check
	if !one.OK {
		text = "FAIL " + one.Check
	}
	for _, part := range []string{one.Detail, one.Remedy} {
		if part != "" {
			text += ": " + part
		}
	}
	fmt.Fprintln(f.out, text)
}

func (c doctorCmd) Run(ctx context.Context, std streams) error {
	cfg, err := c.config(c.Bucket, c.writeFlags, nil)
	if err != nil {
		return err
	}
	found := &findings{out: std.out, all: []finding{}}
	if c.JSON {
		found.out = nil
	}
	c.checkMachine(found)
	if c.Bucket.bucket != "" {
		d := &bucketDoctor{found: found, cfg: cfg, prefix: c.Bucket.prefix, readOnly: c.ReadOnly}
		d.check(ctx)
	}
	if c.JSON {
		enc := json.NewEncoder(std.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(found.all); err != nil {
			return err
		}
	}
	if found.failed > 0 {
		return &exitError{1}
	}
	return nil
}

func (c doctorCmd) checkMachine(found *findings) {
	checkFUSE(found, c.AllowOther)
	dir, err := filepath.Abs(c.CacheDir)
	if c.CacheDir == "" || err != nil {
		found.fail("cache directory", "there is no place for it, HOME is not set", "name one with --cache-dir")
	} else if err := checkCacheDir(dir, "/nowhere", c.AllowTmpfs); err != nil {
		found.failErr("cache directory", err)
	} else {
		free, _, _ := filesystemOf(dir)
		found.ok("cache directory", "%s, %s free", dir, bytesText(free))
	}
	checkLimits(found)
}
