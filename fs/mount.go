package fs

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"s3mount/internal/names"
)

// Sizes of the connection to the kernel.
const (
	maxRequest    = 1 << 20  // bytes of one read or write
	maxBackground = 128      // readahead and asynchronous requests at a time
	maxInflight   = 64 << 20 // bytes of requests that are being answered
	readAheadKiB  = 1024     // of buffered reads; the kernel's default is 128
)

// negativeTTL is how long the kernel remembers that a name does not exist.
// Programs probe for the same absent names many times (._*, .DS_Store), and
// files that other machines add must appear soon.
const negativeTTL = time.Second

// Options say where and how to mount.
type Options struct {
	Mountpoint string
	Source     string // shown in /proc/mounts
	AllowOther bool   // users other than the one who mounts may enter
	ReadOnly   bool
	NoExec     bool         // programs cannot be run from the mount
	Debug      bool         // log every request
	Log        *slog.Logger // nil: silent
}

// Server is a mounted tree.
type Server struct {
	mountpoint string
	fuse       *fuse.Server
	root       *gofuse.Inode
	log        *slog.Logger
	done       chan struct{} // closed when no request is left and no goroutine runs
}

// Mount mounts the tree and returns when the mountpoint answers. An error is
// a *MountError, and nothing is mounted then.
func Mount(tree *names.Tree, o Options) (*Server, error) {
	dir, err := filepath.Abs(o.Mountpoint)
	if err != nil {
		return nil, &MountError{Mountpoint: o.Mountpoint, Kind: ErrMountpointMissing, Err: err}
	}
	o.Mountpoint = dir
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := Check(o); err != nil {
		return nil, err
	}
	f := newFilesystem(tree, o.Log)
	opts := fuseOptions(o)
	root := f.root()
	raw := &bridge{RawFileSystem: gofuse.NewNodeFS(root, opts), fs: f}
	srv, err := fuse.NewServer(raw, dir, &opts.MountOptions)
	if err != nil {
		return nil, &MountError{Mountpoint: dir, Kind: ErrRefused, Err: err}
	}
	s := &Server{mountpoint: dir, fuse: srv, root: root.EmbeddedInode(), log: o.Log, done: make(chan struct{})}
	gone, following := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(following)
		s.follow(tree.News(), gone)
	}()
	go func() {
		defer close(s.done)
		srv.Serve()
		close(gone)
		<-following
		f.closeAll()
	}()
	if err := s.answers(o.Log); err != nil {
		_ = s.Unmount()
		return nil, err
	}
	return s, nil
}

// answers waits for the mount, and tunes it while at it.
func (s *Server) answers(log *slog.Logger) error {
	if err := s.fuse.WaitMount(); err != nil {
		return &MountError{Mountpoint: s.mountpoint, Kind: ErrRefused, Err: err}
	}
	if _, err := os.Stat(s.mountpoint); err != nil {
		return &MountError{Mountpoint: s.mountpoint, Kind: ErrNoAnswer, Err: err}
	}
	if err := setReadAhead(s.mountpoint, readAheadKiB); err != nil {
		log.Info("the kernel's readahead stays as it is; buffered reads are a little slower", "want_kib", readAheadKiB, "err", err)
	}
	return nil
}

// Wait returns when the tree has been unmounted, by whomever, and no request
// is left.
func (s *Server) Wait() { <-s.done }

// Unmount unmounts and waits. It fails while files are open, and does nothing
// when somebody else has unmounted.
func (s *Server) Unmount() error {
	select {
	case <-s.done:
		return nil
	default:
	}
	if err := s.fuse.Unmount(); err != nil {
		return fmt.Errorf("unmount %s: %w", s.mountpoint, err)
	}
	s.Wait()
	return nil
}

func fuseOptions(o Options) *gofuse.Options {
	negative := negativeTTL
	level := slog.LevelWarn
	if o.Debug {
		level = slog.LevelDebug
	}
	opts := &gofuse.Options{
		NegativeTimeout: &negative,
		NullPermissions: true, // mode 0 is a mode
		RootStableAttr:  &gofuse.StableAttr{Ino: 1},
		MountOptions: fuse.MountOptions{
			FsName:                   o.Source,
			Name:                     fsName,
			AllowOther:               o.AllowOther,
			Options:                  []string{"default_permissions"},
			MaxWrite:                 maxRequest,
			MaxBackground:            maxBackground,
			MaxInflightRequestBytes:  maxInflight,
			DisableSplice:            true,
			ExplicitDataCacheControl: true,
			ExtraCapabilities:        capabilities,
			Debug:                    o.Debug,
			Logger:                   slog.NewLogLogger(o.Log.Handler(), level),
		},
	}
	platformOptions(o, &opts.MountOptions)
	return opts
}

// fsName is the type in /proc/mounts, after "fuse.".
const fsName = "s3mount"
