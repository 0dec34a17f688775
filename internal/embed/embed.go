// Package embed runs an S3 server (versitygw) inside this process, with a directory
// as its storage: for the demo and for tests. It listens on the loopback interface
// only, and never serves a mount of anything but a try-out.
package embed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

// Limits of the server.
const (
	connections = 4096
	startLimit  = 15 * time.Second
	copyLimit   = 5 << 30 // S3's own for CopyObject; 0 would refuse every copy
)

// Server is the running S3 server. A process can have one.
type Server struct {
	AccessKey, SecretKey string

	dir  string
	addr string
	stop context.CancelFunc
	done chan error
}

// Start serves the buckets in dir, which is made when it is not there. Buckets are
// the directories in dir/data, their metadata lies in dir/meta, so that every file
// system will do. The keys are new with each start.
func Start(ctx context.Context, dir string) (*Server, error) {
	data, side := filepath.Join(dir, "data"), filepath.Join(dir, "meta")
	if err := errors.Join(os.MkdirAll(data, 0o755), os.MkdirAll(side, 0o755)); err != nil {
		return nil, err
	}
	store, err := meta.NewSideCar(side)
	if err != nil {
		return nil, fmt.Errorf("embedded server: %w", err)
	}
	backend, err := posix.New(data, store, posix.PosixOpts{SideCarDir: side, CopyObjectThreshold: copyLimit})
	if err != nil {
		return nil, fmt.Errorf("embedded server: %w", err)
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &Server{AccessKey: "demo-" + rand.Text()[:8], SecretKey: rand.Text(), dir: data, addr: addr, done: make(chan error, 1)}
	ctx, s.stop = context.WithCancel(ctx)
	go func() {
		s.done <- embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
			RootUserAccess: s.AccessKey, RootUserSecret: s.SecretKey, Ports: []string{addr},
			MaxConnections: connections, MaxRequests: connections, MultipartMaxParts: 10000,
			KeepAlive: true, Quiet: true,
		})
	}()
	if err := s.answers(); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// freeAddress finds a port that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// answers waits until the server takes connections.
func (s *Server) answers() error {
	limit := time.After(startLimit)
	for {
		if c, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
			return c.Close()
		}
		select {
		case err := <-s.done:
			return fmt.Errorf("embedded server: %w", err)
		case <-limit:
			return fmt.Errorf("embedded server: no answer on %s in %v", s.addr, startLimit)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Endpoint is the server's URL.
func (s *Server) Endpoint() string { return "http://" + s.addr }

// CreateBucket makes a bucket, unless it is there.
func (s *Server) CreateBucket(name string) error {
	return os.MkdirAll(filepath.Join(s.dir, name), 0o755)
}

// Close stops the server and waits for it.
func (s *Server) Close() error {
	s.stop()
	err := <-s.done
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
