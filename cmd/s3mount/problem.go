package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"syscall"

	mountfs "s3mount/fs"
	"s3mount/internal/s3"
)

// problem is an error a user can do something about.
type problem struct {
	cause  string
	remedy string // empty: the cause says it
	err    error  // what is behind it, for errors.Is; may be nil
	code   int    // exit code; 0: exitFailed
}

// Exit codes. README.md describes them.
const (
	exitFailed = 1 // something is wrong
	exitLeft   = 2 // not everything is in the bucket, and it goes on by itself or with the next mount
	exitOpen   = 3 // all of it is in the bucket but for files that are open for writing
)

func (p *problem) Error() string {
	if p.remedy == "" {
		return p.cause
	}
	return p.cause + ": " + p.remedy
}

func (p *problem) Unwrap() error { return p.err }

// usageProblem is a mistake on the command line.
func usageProblem(err error, args []string) error {
	help := "s3mount --help"
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			if isCommand(a) {
				help = "s3mount " + a + " --help"
			}
			break
		}
	}
	return &problem{cause: strings.TrimSuffix(err.Error(), "."), remedy: "see " + help, err: err}
}

// line is the one line on stderr: s3mount: CAUSE: REMEDY.
func line(err error) string {
	return "s3mount: " + oneLine(explain(err))
}

// explain is the cause and the remedy of any error.
func explain(err error) string {
	var p *problem
	var m *mountfs.MountError
	switch {
	case errors.As(err, &p):
		return p.Error()
	case errors.As(err, &m):
		return m.Error() // brings its remedy
	}
	if remedy := remedyOf(err); remedy != "" {
		return err.Error() + ": " + remedy
	}
	return err.Error()
}

// remedyOf says what to do about an error of the bucket or of the system.
func remedyOf(err error) string {
	var e *s3.Error
	if errors.As(err, &e) {
		return s3.Remedy(err)
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room there"
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return "check its owner and permissions"
	case errors.Is(err, fs.ErrNotExist):
		return "check the spelling"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "raise the limit of open files with: ulimit -n 65536"
	}
	return ""
}

// oneLine folds whatever a server or a library said into one line.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxLine {
		return string(r[:maxLine]) + "..."
	}
	return s
}

// maxLine keeps an error page of a proxy from filling the terminal.
const maxLine = 600

// pathError names a path with what is wrong with it, without Go's wording.
func pathError(what, path string, err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Sprintf("%s %s: %v", what, path, err)
}

// safeURL is an address without the user and the password it may carry.
func safeURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.User == nil {
		return s
	}
	u.User = nil
	return u.String()
}
