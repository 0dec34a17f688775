package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	mountfs "s3mount/fs"
	"s3mount/internal/s3"
)

func TestLine(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want []string // in this order
	}{
		{"problem", &problem{cause: "no room", remedy: "make some"}, []string{"s3mount: no room: make some"}},
		{"wrapped problem", fmt.Errorf("while: %w", &problem{cause: "no room", remedy: "make some"}), []string{"s3mount: no room: make some"}},
		{"mount", &mountfs.MountError{Mountpoint: "/m", Kind: mountfs.ErrMountpointMissing}, []string{"s3mount: /m: the mountpoint does not exist: ", "mkdir -p /m"}},
		{"bucket", &s3.Error{Op: "HeadBucket", Kind: s3.ErrNoBucket, Status: 404}, []string{"s3mount: HeadBucket: no such bucket", ": "}},
		{"system", &os.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}, []string{"s3mount: write /x: no space left on device: make room"}},
		{"joined", errors.Join(errors.New("one"), errors.New("two")), []string{"s3mount: one two"}},
		{"an answer with lines and escapes", errors.New("<html>\r\n\x1b[31mred\tx"), []string{"s3mount: <html> [31mred x"}},
		{"long", errors.New(strings.Repeat("ä", 5000)), []string{"s3mount: ää", "..."}},
	} {
		got := line(tt.err)
		rest := got
		for _, w := range tt.want {
			i := strings.Index(rest, w)
			if i < 0 {
				t.Errorf("%s: %q, want %q in it", tt.name, got, tt.want)
				break
			}
			rest = rest[i+len(w):]
		}
		if strings.ContainsAny(got, "\n\r\x1b") || len([]rune(got)) > maxLine+20 {
			t.Errorf("%s: %q is not one short line", tt.name, got)
		}
	}
}

func TestSafeURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://key:hush@host:9000/x": "http://host:9000/x",
		"https://host":                "https://host",
		"":                            "",
	} {
		if got := safeURL(in); got != want {
			t.Errorf("safeURL(%q) = %q, want %q", in, got, want)
		}
	}
}
