// The benchmark measures mounts of one bucket side by side: s3mount, others,
// and the raw AWS SDK as the limit of what link and machine give. All of them
// work through the same shaped link, one after the other, in each run.
//
// It is not a test: nothing passes or fails by its figures, and it never
// touches a bucket other than its own.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"s3mount/bench/link"
	"s3mount/bench/report"
	"s3mount/bench/rig"
	"s3mount/internal/embed"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// The program also runs as its own children.
func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "link":
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM) // it ends with its owner
		return link.Serve(os.Stdin, os.Stdout)
	case len(args) == 2 && args[0] == "gateway":
		return serveGateway(args[1])
	case len(args) > 0:
		return fmt.Errorf("no arguments are taken, choices are made by the environment (see docs/BENCHMARKS.md)")
	}
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return fmt.Errorf("it runs on Linux as root: it mounts, and empties the kernel's caches")
	}
	o, err := readOptions(os.Getenv)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	b, err := newBench(o)
	if err != nil {
		return err
	}
	err = b.all(ctx)
	if closed := b.close(); err == nil {
		err = closed
	}
	if written := b.write(); err == nil {
		err = written
	}
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("interrupted; the results so far are in %s", o.out)
	}
	return err
}

// serveGateway runs the embedded server until it is told to end.
func serveGateway(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s, err := embed.Start(ctx, dir)
	if err != nil {
		return err
	}
	if err := rig.Announce(s.Endpoint()[len("http://"):], s.AccessKey, s.SecretKey); err != nil {
		return err
	}
	<-ctx.Done()
	return s.Close()
}

// write puts the table onto standard output, and beside the samples.
func (b *bench) write() error {
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	tsv, err := os.Create(filepath.Join(b.out, "results.tsv"))
	if err != nil {
		return err
	}
	defer tsv.Close()
	if err := b.log.WriteTSV(tsv); err != nil {
		return err
	}
	md, err := os.Create(filepath.Join(b.out, "results.md"))
	if err != nil {
		return err
	}
	defer md.Close()
	for _, w := range []*os.File{os.Stdout, md} {
		fmt.Fprint(w, b.preamble())
		if err := b.log.WriteMarkdown(w, b.sections()); err != nil {
			return err
		}
	}
	return nil
}

// sections is one table for each workload and link.
func (b *bench) sections() []report.Section {
	var out []report.Section
	for _, w := range workloads() {
		for _, p := range b.profiles {
			out = append(out, report.Section{Workload: w.name, Profile: p.Name, Title: w.title(b.options), Columns: w.columns})
		}
	}
	return out
}

// self is this program, to run as a child.
func self(args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.Command(path, args...), nil
}
