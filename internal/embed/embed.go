// Package embed runs an S3 server inside this process, with a directory as its
// store, for the demo and for tests: no account, no container, no download.
//
// It listens on 127.0.0.1 only, on a free port. There can be one per process.
// While it runs, it owns the working directory of the process: the server
// behind it (versitygw) changes into its store and uses relative paths. Make
// paths absolute before [Start], and do not call os.Chdir.
package embed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

const (
	connections = 4096
	startWait   = 10 * time.Second
	portTries   = 5
)

// running is global because what it guards is: the working directory, and the
// package variables of the server. The server's own check comes after it has
// changed the directory under the first one.
var running atomic.Bool

// ErrRunning is the answer to a second Start.
var ErrRunning = errors.New("an embedded S3 server runs already in this process")

// Server is a running server.
type Server struct {
	AccessKey, SecretKey string

	address string
	cancel  context.CancelFunc
	done    chan struct{} // closed when it has ended
	gone    chan struct{} // closed when another may start
	err     error         // why it ended; valid after gone
	before  string        // the working directory to go back to
}

// Start runs a server over dir, which is made when it is missing. Buckets,
// objects, unfinished uploads and the keys are found again by a later Start
// over the same directory. ctx ends the server, as Close does.
func Start(ctx context.Context, dir string) (*Server, error) {
	if !running.CompareAndSwap(false, true) {
		return nil, ErrRunning
	}
	s, err := start(ctx, dir)
	if err != nil {
		running.Store(false)
		return nil, fmt.Errorf("start the embedded S3 server in %s: %w", dir, err)
	}
	return s, nil
}

func start(ctx context.Context, dir string) (*Server, error) {
	store, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	before, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for range portTries {
		s := &Server{AccessKey: store.AccessKey, SecretKey: store.SecretKey, before: before}
		if err = s.run(ctx, store); err == nil {
			return s, nil
		}
	}
	return nil, errors.Join(err, os.Chdir(before))
}

// run starts the server on a port that was free a moment ago.
func (s *Server) run(ctx context.Context, store *store) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	s.address = net.JoinHostPort("127.0.0.1", port)
	backend, err := posix.New(store.objects, store.meta, posix.PosixOpts{
		CopyObjectThreshold: 5 << 30, // the zero value refuses every copy
		Concurrency:         connections,
	})
	if err != nil {
		return err
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		defer s.cancel()
		s.err = embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
			RootUserAccess: s.AccessKey, RootUserSecret: s.SecretKey, Region: region,
			Ports:          []string{s.address},
			MaxConnections: connections, MaxRequests: connections, MultipartMaxParts: 10000,
			KeepAlive: true, Quiet: true, DisableACLs: true,
			IAMService: auth.NewIAMServiceSingle(auth.Account{Access: s.AccessKey, Secret: s.SecretKey, Role: auth.RoleAdmin}),
		})
	}()
	if err := s.ready(); err != nil {
		s.cancel()
		<-s.done
		return err
	}
	s.gone = make(chan struct{})
	go func() {
		defer close(s.gone)
		<-s.done
		s.err = errors.Join(s.err, os.Chdir(s.before))
		running.Store(false)
	}()
	return nil
}

// ready waits until the server answers.
func (s *Server) ready() error {
	limit := time.After(startWait)
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for {
		resp, err := http.Get(s.Endpoint())
		if err == nil {
			resp.Body.Close()
		}
		select {
		case <-s.done: // such as when another process took the port
			return fmt.Errorf("the server ended: %w", s.err)
		case <-limit:
			return errors.New("the server does not answer")
		default:
		}
		if err == nil {
			return nil
		}
		<-retry.C
	}
}

// Endpoint is the URL of the service.
func (s *Server) Endpoint() string { return "http://" + s.address }

// Close ends the server, after the requests in flight.
func (s *Server) Close() error {
	s.cancel()
	<-s.gone
	return s.err
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func absolute(dir, name string) (string, error) {
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return "", err
	}
	return path, os.MkdirAll(path, 0o700)
}
