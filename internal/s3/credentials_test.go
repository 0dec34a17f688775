package s3_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// signers is whose credentials the requests since the last call carried, in their order.
func signers(srv *s3test.Server) string {
	var out []string
	for _, r := range srv.Requests() {
		_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		who, _, _ := strings.Cut(rest, "/")
		out = append(out, who)
	}
	srv.ClearRequests()
	return strings.Join(out, " ")
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Keys that others write into the file of the profile are taken up before the old ones end,
// without a request in between that fails.
func TestCredentialsOfTheFileChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	keys := func(name string) string {
		return fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = secret\n", name)
	}
	writeFile(t, file, keys("first"))
	synctest.Test(t, func(t *testing.T) {
		srv := s3test.New()
		b := s3test.Bucket(t, srv, func(c *s3.Config) { c.AccessKey, c.SecretKey = "", "" })
		signedBy := func(want string) {
			t.Helper()
			time.Sleep(20 * time.Second)
			if err := b.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, who := range strings.Fields(signers(srv)) {
				if who != want {
					t.Errorf("signed by %q, want %q", who, want)
				}
			}
		}
		signedBy("first")
		writeFile(t, file, keys("second"))
		signedBy("second")
		writeFile(t, file, "[default]\naws_access_")
		signedBy("second")
		writeFile(t, file, keys("third"))
		signedBy("third")
	})
}

// Where the chain has others once the server refuses those that it gave, the request goes on with
// them. Where it has none, that is said at once.
func TestRefusedCredentialsAreAskedForAgain(t *testing.T) {
	dir := t.TempDir()
	answer := filepath.Join(dir, "answer")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	writeFile(t, filepath.Join(dir, "config"), "[default]\ncredential_process = cat "+answer+"\n")
	keys := func(name string) string {
		return fmt.Sprintf(`{"Version": 1, "AccessKeyId": %q, "SecretAccessKey": "secret"}`, name)
	}
	writeFile(t, answer, keys("first"))
	synctest.Test(t, func(t *testing.T) {
		srv := s3test.New()
		srv.PutObject("a", []byte("a"), nil)
		b := s3test.Bucket(t, srv, func(c *s3.Config) { c.AccessKey, c.SecretKey = "", "" })
		list := func() error {
			time.Sleep(time.Minute)
			_, err := b.List(t.Context(), "", "", "", "", 1)
			return err
		}
		want(t, "list", list(), nil)
		srv.Fault(func(r *http.Request) *s3test.Fault {
			if strings.Contains(r.Header.Get("Authorization"), "Credential=first/") {
				return &s3test.Fault{Status: http.StatusForbidden, Code: "ExpiredToken"}
			}
			return nil
		})
		signers(srv)
		want(t, "list with what has ended", list(), s3.ErrCredentials)
		if got := signers(srv); got != "first first" {
			t.Errorf("signed by %q: asked too often", got)
		}
		writeFile(t, answer, keys("second"))
		want(t, "list with what came instead", list(), nil)
		if got := signers(srv); got != "second" {
			t.Errorf("signed by %q", got)
		}
	})
}
