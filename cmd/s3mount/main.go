// Command s3mount mounts an S3 bucket as a directory.
//
// This package is the command line: flags, checks before a mount, signals, the
// process that stays in the background, and the socket through which the other
// commands talk to it. It never moves a byte of a file itself and never prints
// a secret.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

func main() {
	completeEnvironment()
	args, asked, err := fromMount(os.Args[0], os.Args[1:])
	if err != nil {
		os.Exit(report(os.Stderr, err))
	}
	if asked && len(args) == 0 {
		os.Exit(0)
	}
	if serves(args, os.Getenv(daemonEnv) != "") {
		relax() // may begin anew, so before anything else
	}
	code := run(context.Background(), args, os.Stdout, os.Stderr)
	if asked && code != 0 {
		code = exitMount
	}
	os.Exit(code)
}

// streams are where a command prints.
type streams struct {
	out io.Writer // results
	err io.Writer // progress and errors
}

// arguments is the command line as it was given.
type arguments []string

// cli is the whole grammar.
type cli struct {
	Mount   mountCmd   `cmd:"" help:"Mount a bucket, or a part of it, at a directory."`
	Umount  umountCmd  `cmd:"" aliases:"unmount" help:"Unmount, and wait until everything is in the bucket."`
	Status  statusCmd  `cmd:"" help:"Show what is not in the bucket yet."`
	Wait    waitCmd    `cmd:"" help:"Wait until files are in the bucket."`
	Retry   retryCmd   `cmd:"" help:"Try now what failed or waits."`
	Cancel  cancelCmd  `cmd:"" help:"Give up what is not in the bucket yet of one file."`
	Refresh refreshCmd `cmd:"" help:"Look again at what other programs changed in the bucket."`
	Cache   cacheCmd   `cmd:"" help:"Look at the cache on disk, or make room in it."`
	Warm    warmCmd    `cmd:"" help:"Fetch files into the cache on disk."`
	Uploads uploadsCmd `cmd:"" help:"List uploads that were started in a bucket and never finished."`
	Recover recoverCmd `cmd:"" help:"List or save closed files that are not in the bucket, without the bucket."`
	Doctor  doctorCmd  `cmd:"" help:"Check that this machine and a bucket work together."`
	Demo    demoCmd    `cmd:"" help:"Try s3mount without an account: a bucket in a directory, mounted."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

const description = `s3mount mounts an S3 bucket as a directory: one file is one object with the same bytes.

Examples:
  s3mount mount footage /mnt/footage                       a bucket on AWS
  s3mount mount footage/2026/april /mnt/april --read-only  a part of it
  s3mount mount footage /mnt/f --endpoint https://s3.example.com
  s3mount wait /mnt/footage && echo safe                   all of it is in the bucket
  s3mount umount /mnt/footage
  s3mount demo                                             try it without an account`

// helpRequested ends the parser when it has printed help.
type helpRequested struct{ code int }

// run is main with everything given; it returns the exit code.
func run(ctx context.Context, args []string, out, err io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			h, ok := r.(helpRequested)
			if !ok {
				panic(r)
			}
			code = h.code
		}
	}()
	if e := execute(ctx, args, streams{out, err}); e != nil {
		return report(err, e)
	}
	return 0
}

func execute(ctx context.Context, args []string, std streams) error {
	parser, err := newParser(&cli{}, std)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if err != nil {
		return usageProblem(err, args)
	}
	command.Bind(std, arguments(args))
	command.BindTo(ctx, (*context.Context)(nil))
	return command.Run()
}

func newParser(grammar *cli, std streams) (*kong.Kong, error) {
	return kong.New(grammar,
		kong.Name("s3mount"),
		kong.Description(description),
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { panic(helpRequested{code}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Vars{"memory": size(defaultMemory()).String(), "cache": defaultCacheDir()},
	)
}

// report prints an error as the one line it is, and returns the exit code.
func report(w io.Writer, err error) int {
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	fmt.Fprintln(w, line(err))
	var p *problem
	if errors.As(err, &p) && p.code != 0 {
		return p.code
	}
	return exitFailed
}

// exitError ends the command with a code after everything has been said.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit %d", e.code) }

// version is set by the linker in releases.
var version = ""

type versionCmd struct{}

func (versionCmd) Run(std streams) error {
	fmt.Fprintln(std.out, "s3mount", buildVersion())
	return nil
}

// buildVersion is the release, or what Go knows about the build.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = "devel " + s.Value[:min(12, len(s.Value))]
		}
	}
	return v + " " + info.GoVersion
}
