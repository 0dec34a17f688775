package rig

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	startLimit = 30 * time.Second
	stopLimit  = 10 * time.Second
)

// Store is a running S3 server.
type Store struct {
	Name                 string
	Addr                 string // host:port
	AccessKey, SecretKey string
	Objects              string // where buckets are directories; MinIO has no such place

	process *process
}

// Endpoint is the URL of the service.
func (s *Store) Endpoint() string { return "http://" + s.Addr }

// Stop ends the server.
func (s *Store) Stop() error { return s.process.stop(stopLimit) }

// StartMinio runs MinIO over a directory. It costs the least CPU for a byte
// that is written.
func StartMinio(bin, dir string) (*Store, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s := &Store{Name: "MinIO", Addr: addr, AccessKey: "benchmark", SecretKey: "benchmark-secret"}
	cmd := exec.Command(bin, "server", "--quiet", "--address", addr, "--console-address", "127.0.0.1:0", filepath.Join(dir, "minio"))
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+s.AccessKey, "MINIO_ROOT_PASSWORD="+s.SecretKey,
		"MINIO_UPDATE=off", "MINIO_BROWSER=off", "MINIO_SCANNER_SPEED=slowest")
	if s.process, err = start(cmd, filepath.Join(dir, "minio.log")); err != nil {
		return nil, err
	}
	return s, s.listening()
}

// gateway is what the process of an embedded server says about itself.
type gateway struct{ Addr, AccessKey, SecretKey string }

// StartGateway runs the embedded server (versitygw) over a directory, in a
// process of cmd, which must print what [Announce] does. It costs the least
// CPU for a byte that is read, and keeps an object as a file.
func StartGateway(cmd *exec.Cmd, dir string) (*Store, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout = in
	p, err := start(cmd, filepath.Join(dir, "gateway.log"))
	in.Close()
	if err != nil {
		return nil, err
	}
	s := &Store{Name: "versitygw", Objects: filepath.Join(dir, "objects"), process: p}
	var said gateway
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&said); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start the gateway: %w: %s", err, p.lastWords())
	}
	s.Addr, s.AccessKey, s.SecretKey = said.Addr, said.AccessKey, said.SecretKey
	return s, nil
}

// Announce tells StartGateway in the parent process where the server is.
func Announce(addr, access, secret string) error {
	return json.NewEncoder(os.Stdout).Encode(gateway{addr, access, secret})
}

// listening waits until the server takes connections.
func (s *Store) listening() error {
	for deadline := time.Now().Add(startLimit); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.Addr)
		if err == nil {
			return conn.Close()
		}
		if !s.process.running() || time.Now().After(deadline) {
			err = fmt.Errorf("%s does not listen: %w: %s", s.Name, err, s.process.lastWords())
			s.Stop()
			return err
		}
	}
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
