//go:build linux

package tests

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"s3mount/internal/embed"
)

// server is an S3 server that all tests share; each test has its own bucket.
type server struct {
	name string
	client
}

// shared is what lives as long as the test process.
type shared struct {
	source  string // directory of this package: the embedded server changes the working directory
	dir     string // for everything; removed at the end
	buckets atomic.Int64

	gateway, minio, binary onced

	mu      sync.Mutex
	cleanup []func()
}

// onced is something that is started when the first test needs it.
type onced struct {
	once sync.Once
	srv  *server
	path string
	err  error
}

var world shared

func TestMain(m *testing.M) {
	source, err := os.Getwd()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	dir, err := os.MkdirTemp("", "s3mount-tests-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	world.source, world.dir = source, dir
	code := m.Run()
	for _, f := range world.cleanup {
		f()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func (w *shared) atEnd(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cleanup = append(w.cleanup, f)
}

// onServers runs a test against both servers.
func onServers(t *testing.T, f func(t *testing.T, s *server)) {
	for _, start := range []struct {
		name string
		f    func(*testing.T) *server
	}{{"embedded", embedded}, {"minio", minio}} {
		t.Run(start.name, func(t *testing.T) { f(t, start.f(t)) })
	}
}

// embedded is versitygw inside the test process.
func embedded(t *testing.T) *server {
	t.Helper()
	g := &world.gateway
	g.once.Do(func() {
		dir := filepath.Join(world.dir, "gateway")
		if g.err = os.MkdirAll(dir, 0o755); g.err != nil {
			return
		}
		srv, err := embed.Start(context.Background(), dir)
		if err != nil {
			g.err = err
			return
		}
		world.atEnd(func() { srv.Close() })
		g.srv = &server{"embedded", client{srv.Endpoint(), srv.AccessKey, srv.SecretKey}}
	})
	if g.err != nil {
		t.Fatalf("embedded server: %v", g.err)
	}
	return g.srv
}

// minio is a MinIO process.
func minio(t *testing.T) *server {
	t.Helper()
	g := &world.minio
	g.once.Do(func() { g.srv, g.err = startMinio() })
	if g.err != nil {
		t.Fatal(g.err)
	}
	return g.srv
}

func startMinio() (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s, cmd, err := runMinio(filepath.Join(world.dir, "minio"), addr)
	if cmd != nil {
		world.atEnd(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
	}
	return s, err
}

// runMinio starts a MinIO process on a directory, and waits until it answers.
func runMinio(dir, addr string) (*server, *exec.Cmd, error) {
	bin, err := findMinio()
	if err != nil {
		return nil, nil, err
	}
	console, err := freeAddr()
	if err != nil {
		return nil, nil, err
	}
	const user, password = "s3mount-tests", "s3mount-tests-secret"
	cmd := exec.Command(bin, "server", dir, "--address", addr, "--console-address", console, "--quiet")
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+user, "MINIO_ROOT_PASSWORD="+password, "MINIO_UPDATE=off")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	s := &server{"minio", client{"http://" + addr, user, password}}
	// Its health check says ready before it takes requests.
	for deadline := time.Now().Add(patient(30 * time.Second)); ; time.Sleep(50 * time.Millisecond) {
		err := s.createBucket("ready")
		var status *statusError
		if err == nil || errors.As(err, &status) && status.status == http.StatusConflict { // there from the run before
			return s, cmd, nil
		}
		if time.Now().After(deadline) {
			return nil, cmd, fmt.Errorf("minio does not answer: %w", err)
		}
	}
}

func findMinio() (string, error) {
	if bin, err := exec.LookPath("minio"); err == nil {
		return bin, nil
	}
	if out, err := exec.Command("go", "env", "GOPATH").Output(); err == nil {
		bin := filepath.Join(strings.TrimSpace(string(out)), "bin", "minio")
		if _, err := os.Stat(bin); err == nil {
			return bin, nil
		}
	}
	return "", fmt.Errorf("minio is missing; install it with: make tools")
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// bucket makes a bucket for one test.
func (s *server) bucket(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("test-%d-%d", os.Getpid(), world.buckets.Add(1))
	if err := s.createBucket(name); err != nil {
		t.Fatal(err)
	}
	return name
}
