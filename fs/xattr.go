package fs

import (
	"bytes"
	"context"
	"strings"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
)

var (
	_ gofuse.NodeGetxattrer    = (*node)(nil)
	_ gofuse.NodeSetxattrer    = (*node)(nil)
	_ gofuse.NodeListxattrer   = (*node)(nil)
	_ gofuse.NodeRemovexattrer = (*node)(nil)
)

// security begins the names of what is asked for most: the kernel asks for
// capabilities before every buffered write, ls -l for the context of each file.
// They are never stored, since the mount is nosuid, and the answer must not cost
// anything.
const security = "security."

// refused reports whether an attribute has no meaning here. ENOTSUP is what
// cp -p and rsync -A accept for ACLs.
func refused(attr string) bool { return strings.HasPrefix(attr, "system.") }

// Getxattr copies a value into dest; with too little room it returns the size.
func (n *node) Getxattr(ctx context.Context, attr string, dest []byte) (uint32, syscall.Errno) {
	if refused(attr) {
		return 0, syscall.ENOTSUP
	}
	if strings.HasPrefix(attr, security) {
		return 0, gofuse.ENOATTR
	}
	c := begin(ctx)
	defer c.end()
	value, err := n.names.Xattr(c, attr)
	if err != nil {
		return 0, n.fail(c, "getxattr", err, "attr", attr)
	}
	return fit(dest, value)
}

// Listxattr copies the names, each ended by a zero byte.
func (n *node) Listxattr(ctx context.Context, dest []byte) (uint32, syscall.Errno) {
	c := begin(ctx)
	defer c.end()
	list, err := n.names.ListXattr(c)
	if err != nil {
		return 0, n.fail(c, "listxattr", err)
	}
	var all []byte
	for _, name := range list {
		all = append(append(all, name...), 0)
	}
	return fit(dest, all)
}

// Setxattr stores a value. The bytes of data belong to the request.
func (n *node) Setxattr(ctx context.Context, attr string, data []byte, flags uint32) syscall.Errno {
	if refused(attr) || strings.HasPrefix(attr, security) {
		return syscall.ENOTSUP
	}
	c := begin(ctx)
	defer c.end()
	if err := n.names.SetXattr(c, attr, bytes.Clone(data), int(flags)); err != nil {
		return n.fail(c, "setxattr", err, "attr", attr)
	}
	return 0
}

// Removexattr removes a value.
func (n *node) Removexattr(ctx context.Context, attr string) syscall.Errno {
	if refused(attr) {
		return syscall.ENOTSUP
	}
	if strings.HasPrefix(attr, security) {
		return gofuse.ENOATTR
	}
	c := begin(ctx)
	defer c.end()
	if err := n.names.RemoveXattr(c, attr); err != nil {
		return n.fail(c, "removexattr", err, "attr", attr)
	}
	return 0
}

// fit copies value if there is room for it, and reports its size either way.
func fit(dest, value []byte) (uint32, syscall.Errno) {
	if len(dest) < len(value) {
		return uint32(len(value)), syscall.ERANGE
	}
	return uint32(copy(dest, value)), 0
}
