package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// exitMount is the exit code of mount(8) for a mount that could not be made.
const exitMount = 32

// defaultPath is for helpers of mount(8), which starts them without one.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// fromMount recognises the two ways in which mount(8) starts this program, and gives
// the command line that does what it asks for; none where there is nothing to do:
//
//	s3mount SOURCE DIR -o OPTIONS           by mount.fuse3, which finds it in the PATH
//	mount.fuse.s3mount SOURCE DIR -o ...    by a link of this name in /sbin
//
// For umount(8) there is no such way: it calls helpers by the type that statfs(2)
// knows, which is fuse.
func fromMount(program string, args []string) (out []string, asked bool, err error) {
	switch {
	case strings.HasPrefix(filepath.Base(program), "mount."):
		out, err = helperArgs(args)
		return out, true, err
	case len(args) == 4 && args[2] == "-o" && !strings.HasPrefix(args[0], "-") && !isCommand(args[0]):
		out, err = mountArgs(args[0], args[1], args[3], false)
		return out, true, err
	}
	return args, false, nil
}

// helperArgs reads SOURCE DIR [-sfnv] [-N namespace] [-o options] [-t type].
func helperArgs(args []string) ([]string, error) {
	places, flags, err := splitHelper(args)
	if err != nil {
		return nil, err
	}
	if len(places) != 2 {
		return nil, &problem{cause: fmt.Sprintf("%d arguments, want a bucket and a directory", len(places)), remedy: "mount -t fuse.s3mount BUCKET[/PREFIX] DIR -o OPTIONS"}
	}
	if _, fake := flags['f']; fake {
		return nil, nil // mount -f: everything but the mount
	}
	_, sloppy := flags['s']
	return mountArgs(places[0], places[1], flags['o'], sloppy)
}

// splitHelper parts the arguments of a helper. Flags have one letter; o, t and N
// have a value.
func splitHelper(args []string) (places []string, flags map[byte]string, err error) {
	flags = map[byte]string{}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if len(arg) < 2 || arg[0] != '-' {
			places = append(places, arg)
			continue
		}
		for n := 1; n < len(arg); n++ {
			letter := arg[n]
			if !strings.ContainsRune("otN", rune(letter)) {
				flags[letter] = ""
				continue
			}
			value := arg[n+1:]
			if value == "" {
				if i++; i == len(args) {
					return nil, nil, &problem{cause: fmt.Sprintf("-%c has no value", letter), remedy: "write it like -o ro"}
				}
				value = args[i]
			}
			if letter == 'o' && flags['o'] != "" {
				value = flags['o'] + "," + value
			}
			flags[letter] = value
			break
		}
	}
	return places, flags, nil
}

// mountArgs is the command line of "s3mount mount" for a line of fstab. The source
// appears in /proc/mounts as it was written, so that mount -a knows what is mounted.
func mountArgs(source, dir, options string, sloppy bool) ([]string, error) {
	flags, err := mountOptions(options, sloppy)
	if err != nil {
		return nil, err
	}
	bucket, err := bucketOf(source)
	if err != nil {
		return nil, err
	}
	out := []string{"mount"}
	if !slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, "--fsname=") }) {
		out = append(out, "--fsname="+source)
	}
	return append(append(out, flags...), "--", bucket, dir), nil
}

// bucketOf undoes what mount(8) does to a source that is also the name of a directory
// below the working directory: it makes a path of it.
func bucketOf(source string) (string, error) {
	if !filepath.IsAbs(source) {
		return source, nil
	}
	if wd, err := os.Getwd(); err == nil {
		if wd, err = filepath.EvalSymlinks(wd); err == nil && below(source, wd) && source != wd {
			return strings.Trim(strings.TrimPrefix(source, wd), "/"), nil
		}
	}
	return "", &problem{cause: "the source " + source + " is a path, not a bucket", remedy: "write it like s3://BUCKET/PREFIX, which no directory can be mistaken for"}
}

// completeEnvironment sets what mount(8) and init systems leave out, and what a shell of
// this user would have: credentials and the cache directory are looked for below HOME.
func completeEnvironment() {
	if os.Getenv("PATH") == "" {
		os.Setenv("PATH", defaultPath)
	}
	if os.Getenv("HOME") != "" {
		return
	}
	if u, err := user.Current(); err == nil && u.HomeDir != "" {
		os.Setenv("HOME", u.HomeDir)
	}
}

// isCommand reports whether a word is a command of this program.
func isCommand(word string) bool {
	return slices.ContainsFunc(grammar().Children, func(n *kong.Node) bool {
		return n.Name == word || slices.Contains(n.Aliases, word)
	})
}
