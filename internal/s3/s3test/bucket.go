package s3test

import (
	"context"
	"testing"

	"s3mount/internal/s3"
)

// Config reaches the bucket Name of the server.
func Config(srv *Server) s3.Config {
	return s3.Config{
		Bucket: Name, Endpoint: "http://s3.test", Region: "us-east-1", PathStyle: "always",
		AccessKey: "key", SecretKey: "secret", DialContext: srv.Dial,
	}
}

// Bucket opens the bucket Name of the server, after changes to its Config. At the end of
// the test it closes the connections and the server.
func Bucket(t testing.TB, srv *Server, changes ...func(*s3.Config)) *s3.Bucket {
	t.Helper()
	c := Config(srv)
	for _, change := range changes {
		change(&c)
	}
	b, err := s3.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		srv.Close()
	})
	return b
}
