package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

type retryCmd struct {
	Paths []string `arg:"" optional:"" name:"path" help:"Files or folders in a mount. Default: everything in all mounts of this user."`
}

func (retryCmd) Help() string {
	return `What failed is tried again by itself, with pauses of up to 15 s. This command tries
it at once, for example when permissions or the network were mended. It does not wait
for the outcome: use "s3mount wait".`
}

func (c retryCmd) Run(ctx context.Context, std streams) error {
	places, err := placesOf(c.Paths)
	if err != nil {
		return err
	}
	files := 0
	for _, p := range places {
		n, err := newClient(p.rec).order(ctx, "retry", p.rel)
		if err != nil {
			return err
		}
		files += n
	}
	if files == 0 {
		fmt.Fprintln(std.out, "nothing waits")
		return nil
	}
	fmt.Fprintf(std.out, "trying %s now\n", plural(files, "file"))
	return nil
}

type refreshCmd struct {
	Paths []string `arg:"" optional:"" name:"path" help:"Files or folders in a mount. Default: everything in all mounts of this user."`
}

func (refreshCmd) Help() string {
	return `What other programs change in the bucket shows up by itself after --list-ttl (5 s). This
command forgets at once what is known of names, sizes, times and modes at a path and
below it, also what is remembered from earlier mounts; the next use asks the bucket.

Example:
  s3mount refresh /mnt/footage/day1`
}

func (c refreshCmd) Run(ctx context.Context, std streams) error {
	places, err := placesOf(c.Paths)
	if err != nil {
		return err
	}
	for _, p := range places {
		if _, err := newClient(p.rec).order(ctx, "refresh", p.rel); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "%s: the bucket is asked again\n", printable(filepath.Join(p.rec.Mountpoint, p.rel)))
	}
	return nil
}

type cancelCmd struct {
	Path string `arg:"" help:"One file in a mount that is not in the bucket yet."`
	Yes  bool   `short:"y" help:"Do not ask."`
}

func (cancelCmd) Help() string {
	return `The bytes that are not in the bucket are deleted, and its upload is aborted; the bucket
is not touched. The name shows again what the bucket has: a new file disappears, an edit
goes back to the version before, and a renamed file is back under its old name.

It asks before, and needs --yes where nobody can answer. Folders are refused, and files that
are open for writing, unless they have outgrown the spool: then the program that writes gets
an error.`
}

func (c cancelCmd) Run(ctx context.Context, std streams) error {
	reg, err := openRegistry(registryDir(os.Getuid()))
	if err != nil {
		return err
	}
	rec, rel, err := reg.find(c.Path)
	if err != nil {
		return err
	}
	mount := newClient(rec)
	if !c.Yes {
		if err := c.ask(ctx, mount, rel, std); err != nil {
			return err
		}
	}
	if _, err := mount.order(ctx, "cancel", rel); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "cancelled %s\n", printable(rel))
	return nil
}

// ask lets somebody confirm what is lost.
func (c cancelCmd) ask(ctx context.Context, mount *client, rel string, std streams) error {
	if !isTerminal(os.Stdin) {
		return &problem{cause: "cancel deletes the bytes that are not in the bucket, and nobody can be asked", remedy: "give --yes"}
	}
	st, err := mount.status(ctx, rel, false)
	if err != nil {
		return goneProblem(mount.rec, err)
	}
	text := ""
	for _, f := range st.Files {
		if f.Path == rel {
			text = fmt.Sprintf(" (%s, %s of %s sent)", f.State, bytesText(f.BytesDone), bytesText(f.BytesTotal))
		}
	}
	fmt.Fprintf(std.err, "Delete what is not in the bucket of %s%s? [y/N] ", printable(rel), text)
	reply, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if reply = strings.ToLower(strings.TrimSpace(reply)); err == nil && (reply == "y" || reply == "yes") {
		return nil
	}
	return &problem{cause: "nothing was cancelled", remedy: "answer y, or give --yes"}
}
