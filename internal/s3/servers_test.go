package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"s3mount/internal/embed"
	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// backend is a server that the conformance test holds to the same answers.
type backend struct {
	name   string
	config s3.Config
	signed bool           // it checks signatures
	fake   *s3test.Server // nil: a real server
}

func (b backend) open(t *testing.T, changes ...func(*s3.Config)) *s3.Bucket {
	t.Helper()
	c := b.config
	for _, change := range changes {
		change(&c)
	}
	bucket, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bucket.Close)
	return bucket
}

// backends starts the fake, the embedded server and MinIO.
func backends(t *testing.T) []backend {
	t.Helper()
	fake := s3test.New()
	t.Cleanup(fake.Close)
	return []backend{
		{name: "fake", config: s3test.Config(fake), fake: fake},
		{name: "embedded", config: startEmbedded(t), signed: true},
		{name: "minio", config: startMinIO(t), signed: true},
	}
}

func startEmbedded(t *testing.T) s3.Config {
	t.Helper()
	srv, err := embed.Start(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	if err := srv.CreateBucket(s3test.Name); err != nil {
		t.Fatal(err)
	}
	return s3.Config{Bucket: s3test.Name, Endpoint: srv.Endpoint(), Region: "us-east-1", AccessKey: srv.AccessKey, SecretKey: srv.SecretKey}
}

// minioBinary finds the server that `make tools` builds.
func minioBinary(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("minio"); err == nil {
		return path
	}
	out, err := exec.Command("go", "env", "GOPATH").Output()
	if err == nil {
		path := filepath.Join(strings.TrimSpace(string(out)), "bin", "minio")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatal("no minio binary in PATH or $(go env GOPATH)/bin: run `make tools`, which installs it")
	return ""
}

func startMinIO(t testing.TB) s3.Config {
	t.Helper()
	binary := minioBinary(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var output bytes.Buffer
	cmd := exec.Command(binary, "server", "--quiet", "--address", address, "--console-address", "127.0.0.1:0", t.TempDir())
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER=s3mount", "MINIO_ROOT_PASSWORD=s3mount-secret", "MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CI_CD=1")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	c := s3.Config{Bucket: s3test.Name, Endpoint: "http://" + address, Region: "us-east-1", AccessKey: "s3mount", SecretKey: "s3mount-secret"}
	if err := createBucket(t, c); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("minio does not work: %v\n%s", err, output.String())
	}
	return c
}

// plainClient is the SDK without anything of ours.
func plainClient(c s3.Config) *awss3.Client {
	return awss3.New(awss3.Options{
		Region: c.Region, BaseEndpoint: aws.String(c.Endpoint), UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey, ""),
	})
}

// createBucket tries until the server has started.
func createBucket(t testing.TB, c s3.Config) error {
	t.Helper()
	api := plainClient(c)
	var err error
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); {
		if _, err = api.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &c.Bucket}); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("no bucket after 30 s: %w", err)
}
