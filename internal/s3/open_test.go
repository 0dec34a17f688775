package s3_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

func TestMain(m *testing.M) {
	if os.Getenv("S3MOUNT_TEST_PROXY_CHILD") != "" {
		os.Exit(proxyChild())
	}
	// The tests must not depend on the settings of whoever runs them.
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "AWS_") {
			os.Unsetenv(name)
		}
	}
	os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	os.Exit(m.Run())
}

// The proxy variables are read once per process, so a process of its own asks.
func TestProxy(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.String())
		w.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "S3MOUNT_TEST_PROXY_CHILD=1", "HTTP_PROXY="+proxy.URL, "NO_PROXY=", "http_proxy=", "no_proxy=")
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Contains(asked, "http://s3.invalid/bucket") {
		t.Errorf("the proxy was asked for %q", asked)
	}
}

func proxyChild() int {
	b, err := s3.Open(context.Background(), s3.Config{
		Bucket: "bucket", Endpoint: "http://s3.invalid", Region: "us-east-1", PathStyle: "always", AccessKey: "a", SecretKey: "b",
	})
	if err == nil {
		err = b.Check(context.Background())
	}
	if !errors.Is(err, s3.ErrDenied) {
		fmt.Println(err)
		return 1
	}
	return 0
}

func TestAnonymous(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, _ *s3.Bucket) {
		b := s3test.Bucket(t, srv, func(c *s3.Config) { c.AccessKey, c.SecretKey = "", "" })
		if err := b.Check(t.Context()); err != nil || !b.Anonymous() {
			t.Errorf("public bucket: %v, anonymous %v", err, b.Anonymous())
		}
		for _, r := range srv.Requests() {
			if r.Header.Get("Authorization") != "" {
				t.Error("a request was signed")
			}
		}
		srv.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{Status: 403, Code: "AccessDenied"} })
		err := b.Check(t.Context())
		if !errors.Is(err, s3.ErrCredentials) || !strings.Contains(err.Error(), "no credentials found") {
			t.Errorf("private bucket: %v", err)
		}
	})
}

func TestBadConfig(t *testing.T) {
	for name, c := range map[string]s3.Config{
		"no bucket":    {},
		"endpoint":     {Bucket: "b", Endpoint: "ftp://host"},
		"no host":      {Bucket: "b", Endpoint: "http://"},
		"junk":         {Bucket: "b", Endpoint: "http://a b"},
		"no such name": {Bucket: "b", Profile: "no-such-profile"},
	} {
		_, err := s3.Open(t.Context(), c)
		if err == nil || s3.Remedy(err) == "" || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEndpointWithoutScheme(t *testing.T) {
	for given, want := range map[string]string{
		"localhost:9000": "http://localhost:9000", "10.0.0.1:9000": "http://10.0.0.1:9000", "s3.example.com": "https://s3.example.com",
		"https://u:secret@s3.example.com/": "https://s3.example.com", "": "https://s3.eu-west-3.amazonaws.com",
	} {
		b, err := s3.Open(t.Context(), s3.Config{Bucket: "b", Endpoint: given, Region: "eu-west-3", Anonymous: true})
		if err != nil || b.Endpoint() != want {
			t.Errorf("%q: %v, %v; want %q", given, b.Endpoint(), err, want)
		}
	}
}

func TestNothingListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	b, err := s3.Open(t.Context(), s3.Config{Bucket: "b", Endpoint: "http://" + l.Addr().String(), Region: "us-east-1", AccessKey: "a", SecretKey: "b"})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err = b.Check(t.Context())
	if !errors.Is(err, s3.ErrUnavailable) || !strings.Contains(err.Error(), "refused") || time.Since(start) > 10*time.Second {
		t.Errorf("got %v after %v", err, time.Since(start))
	}
}

// A private CA, and the bucket's region learned from the first answer.
func TestCABundleAndRegion(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Host, "eu-west-1") {
			w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
			w.WriteHeader(http.StatusMovedPermanently)
			return
		}
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `<ListBucketResult></ListBucketResult>`)
		}
	}))
	cert, bundle := certificate(t, "*.s3.us-east-1.amazonaws.com", "*.s3.eu-west-1.amazonaws.com")
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshakes that are to fail
	srv.StartTLS()
	defer srv.Close()
	open := func(region string) *s3.Bucket {
		b, err := s3.Open(t.Context(), s3.Config{
			Bucket: "bucket", Region: region, AccessKey: "a", SecretKey: "b",
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		return b
	}
	err := open("").Check(t.Context())
	if !errors.Is(err, s3.ErrUnavailable) || !strings.Contains(s3.Remedy(err), "AWS_CA_BUNDLE") {
		t.Errorf("unknown CA: %v; %s", err, s3.Remedy(err))
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	b := open("")
	if err := b.Check(t.Context()); err != nil || b.Region() != "eu-west-1" || b.Endpoint() != "https://s3.eu-west-1.amazonaws.com" {
		t.Errorf("got %v, region %s, endpoint %s", err, b.Region(), b.Endpoint())
	}
	err = open("us-east-1").Check(t.Context())
	if !errors.Is(err, s3.ErrWrongRegion) || s3.Remedy(err) != "use --region eu-west-1" {
		t.Errorf("chosen region: %v; %s", err, s3.Remedy(err))
	}
}

// certificate makes one for the names, which is its own CA, and a bundle with it.
func certificate(t *testing.T, names ...string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/ca.pem"
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}
