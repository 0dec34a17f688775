package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// withoutEffect are mount options that are for mount(8) or systemd alone, that ask for
// what is so anyway, or that leave a program no worse off: reading sets no access time,
// device nodes and setuid programs never work on a mount, whoever asks for them
// (mount.fuse3 does, on every line that does not say nodev or nosuid).
var withoutEffect = []string{
	"defaults", "rw", "exec", "async", "auto", "noauto", "nofail", "_netdev", "default_permissions",
	"user", "nouser", "users", "owner", "noowner", "group", "nogroup",
	"dev", "nodev", "suid", "nosuid",
	"atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime", "lazytime", "nolazytime",
	"iversion", "noiversion", "nomand", "silent", "loud",
}

// withoutEffectPrefix are such options with a value.
var withoutEffectPrefix = []string{"x-", "X-", "comment=", "uhelper=", "helper=", "subtype="}

// refused are options that people know from other file systems, with what to do instead.
var refused = map[string]string{
	"sync":       "use close=bucket, with which a close returns when the bucket has the file",
	"dirsync":    "leave it out: names reach the bucket with their files",
	"remount":    "unmount, and mount again with the other options",
	"mand":       "leave it out: locks are advisory",
	"allow_root": "use allow_other",
	"foreground": "leave it out: mount(8) would never return",
	"help":       "see s3mount mount --help",
}

// other are the names that an option has beside that of its flag.
var other = map[string]string{"ro": "read-only"}

// mountOptions gives the flags for the options of mount(8), which are those of "s3mount
// mount" without the dashes; _ stands for - as well. With sloppy, unknown ones are dropped.
// An error never has a value in it: people write secrets there.
func mountOptions(options string, sloppy bool) ([]string, error) {
	var out []string
	for _, o := range splitOptions(options) {
		name, value, valued := strings.Cut(o, "=")
		if hint := refused[name]; hint != "" {
			return nil, &problem{cause: "the mount option " + name + " is not possible", remedy: hint}
		}
		if name == "rw" {
			out = slices.DeleteFunc(out, func(f string) bool { return f == "--read-only" }) // the last one counts
		}
		if ignored(o) {
			continue
		}
		flag := mountFlag(name)
		switch {
		case flag == nil && sloppy:
		case flag == nil:
			return nil, &problem{cause: fmt.Sprintf("unknown mount option %q", name), remedy: "the options are the flags of s3mount mount --help without their dashes"}
		case flag.IsBool() && valued:
			return nil, &problem{cause: "the mount option " + name + " takes no value", remedy: "write it alone"}
		case flag.IsBool():
			out = append(out, "--"+flag.Name)
		case !valued:
			return nil, &problem{cause: "the mount option " + name + " has no value", remedy: "write it like " + name + "=VALUE"}
		default:
			out = append(out, "--"+flag.Name+"="+value)
		}
	}
	return out, nil
}

// splitOptions parts options at commas. As in mount(8), quotes keep a comma in a value.
func splitOptions(s string) []string {
	var out []string
	var word strings.Builder
	quoted := false
	for _, r := range s + "," {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ',' && !quoted:
			if word.Len() > 0 {
				out = append(out, word.String())
			}
			word.Reset()
		default:
			word.WriteRune(r)
		}
	}
	if quoted {
		return splitOptions(strings.ReplaceAll(s, `"`, "")) // one that never ends is none
	}
	return out
}

func ignored(option string) bool {
	return slices.Contains(withoutEffect, option) ||
		slices.ContainsFunc(withoutEffectPrefix, func(p string) bool { return strings.HasPrefix(option, p) })
}

// mountFlag is the flag of "s3mount mount" that an option names, nil if there is none.
func mountFlag(option string) *kong.Flag {
	name := strings.ReplaceAll(option, "_", "-")
	if o := other[name]; o != "" {
		name = o
	}
	for _, command := range grammar().Children {
		if command.Name != "mount" {
			continue
		}
		for _, flag := range command.Flags {
			if flag.Name == name {
				return flag
			}
		}
	}
	return nil
}

// grammar is the command line as it is declared.
func grammar() *kong.Application {
	parser, err := newParser(&cli{}, streams{io.Discard, io.Discard})
	if err != nil {
		panic(err) // the declarations are wrong: every command fails the same way
	}
	return parser.Model
}
