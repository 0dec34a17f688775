//go:build linux

package tests

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	source  string // directory of this package
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
	if dir := os.Getenv(gatewayDir); dir != "" {
		if err := serveGateway(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
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

// gatewayDir names the variable that makes a process of this binary a server on that directory.
const gatewayDir = "S3MOUNT_TEST_GATEWAY"

// embedded is the embedded server, in a process of its own: while a test that has mapped a file
// waits for a page, nothing else of its process may run, and the page may have to come from here.
func embedded(t *testing.T) *server {
	t.Helper()
	g := &world.gateway
	g.once.Do(func() { g.srv, g.err = startGateway(filepath.Join(world.dir, "gateway")) })
	if g.err != nil {
		t.Fatalf("embedded server: %v", g.err)
	}
	return g.srv
}

func startGateway(dir string) (*server, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env, cmd.Stderr = append(os.Environ(), gatewayDir+"="+dir), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	world.atEnd(func() {
		in.Close()
		cmd.Wait()
	})
	var c client
	if _, err := fmt.Fscanln(out, &c.endpoint, &c.access, &c.secret); err != nil {
		return nil, fmt.Errorf("it does not start: %w", err)
	}
	return &server{"embedded", c}, nil
}

// serveGateway is the server's process: it ends with that which started it.
func serveGateway(dir string) error {
	srv, err := embed.Start(context.Background(), dir)
	if err != nil {
		return err
	}
	fmt.Println(srv.Endpoint(), srv.AccessKey, srv.SecretKey)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return srv.Close()
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
