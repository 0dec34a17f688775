package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// size is a number of bytes on the command line: 512MiB, 1GB, 4096.
type size int64

// UnmarshalText reads a size. KB, MB, GB are powers of ten; KiB, MiB, GiB and
// the bare letters K, M, G, as in other tools, powers of two.
func (s *size) UnmarshalText(text []byte) error {
	in := strings.TrimSpace(string(text))
	word := in
	if n := len(word); n > 1 && strings.ContainsAny(word[n-1:], "kKmMgGtT") {
		word += "iB"
	}
	n, err := humanize.ParseBytes(word)
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%q is no size, write it like 512MiB or 2GB", in)
	}
	*s = size(n)
	return nil
}

// String is exact when the size is a whole number of a unit.
func (s size) String() string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if n := int64(1) << (10 * (4 - i)); s != 0 && int64(s)%n == 0 {
			return strconv.FormatInt(int64(s)/n, 10) + unit
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// octal is a set of permission bits on the command line: 022.
type octal uint32

func (o *octal) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("%q is no umask, write it in octal like 022", text)
	}
	*o = octal(n)
	return nil
}

// target is BUCKET[/PREFIX] on the command line.
type target struct {
	bucket string
	prefix string // empty, or with a slash at its end and none at its start
}

func (t *target) UnmarshalText(text []byte) error {
	in := strings.TrimPrefix(string(text), "s3://")
	bucket, prefix, _ := strings.Cut(in, "/")
	if err := checkBucketName(bucket); err != nil {
		return err
	}
	prefix = strings.Trim(prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	if err := checkPrefix(prefix); err != nil {
		return err
	}
	*t = target{bucket, prefix}
	return nil
}

// String is how the target is shown: BUCKET or BUCKET/PREFIX.
func (t target) String() string {
	if t.prefix == "" {
		return t.bucket
	}
	return t.bucket + "/" + strings.TrimSuffix(t.prefix, "/")
}

// checkBucketName lets through every name that some store accepts, AWS's old
// names with capitals and underscores too.
func checkBucketName(name string) error {
	if len(name) < 3 || len(name) > 255 {
		return fmt.Errorf("%q is no bucket name, which has 3 to 63 characters", name)
	}
	for _, r := range name {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '.', r == '_':
		default:
			return fmt.Errorf("%q is no bucket name, which has lower-case letters, digits, dots and hyphens only", name)
		}
	}
	return nil
}

func checkPrefix(prefix string) error {
	for elem := range strings.SplitSeq(strings.TrimSuffix(prefix, "/"), "/") {
		if prefix != "" && (elem == "" || elem == "." || elem == "..") {
			return fmt.Errorf("the prefix %q of the bucket has an empty, . or .. element", prefix)
		}
	}
	if len(prefix) > 1000 {
		return fmt.Errorf("the prefix of the bucket is %d bytes long, more than the 1000 that leave room for names", len(prefix))
	}
	return nil
}

// bytesText is a number of bytes for people: 1.2 GB.
func bytesText(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// plural is "1 file", "2 files".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// defaultMemory is 1 GiB, or a quarter of a small machine.
func defaultMemory() int64 {
	total := physicalMemory()
	if total <= 0 {
		return 512 << 20
	}
	const step = 16 << 20
	return max(min(1<<30, total/4/step*step), minMemory)
}
