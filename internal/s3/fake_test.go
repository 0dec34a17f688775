package s3_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// inBubble runs a test against the fake in virtual time.
func inBubble(t *testing.T, f func(t *testing.T, srv *s3test.Server, b *s3.Bucket)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := s3test.New()
		f(t, srv, s3test.Bucket(t, srv))
	})
}

func TestBlackHole(t *testing.T) {
	for name, dial := range map[string]bool{"no connection": true, "no answer": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := s3test.New()
				srv.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{NoAnswer: true} })
				b := s3test.Bucket(t, srv, func(c *s3.Config) {
					if dial {
						c.DialContext = s3test.BlackHole
					}
				})
				start := time.Now()
				err := b.Check(context.Background())
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("Check took %v", took)
				}
				if !errors.Is(err, s3.ErrTimeout) || !strings.Contains(err.Error(), "no answer from http://s3.test in 10 s") {
					t.Errorf("Check: %v", err)
				}
				start = time.Now()
				_, err = b.Head(context.Background(), "a")
				if took := time.Since(start); !errors.Is(err, s3.ErrTimeout) || took > 40*time.Second && !dial {
					t.Errorf("Head: %v after %v", err, took)
				}
			})
		})
	}
}

func TestStalledUpload(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
		release := make(chan struct{})
		srv.Fault(func(r *http.Request) *s3test.Fault {
			if s3test.Op(r) == "PutObject" {
				io.ReadFull(r.Body, make([]byte, 100<<10)) // then it reads no more
				<-release
			}
			return nil
		})
		start := time.Now()
		_, err := b.Put(context.Background(), "a", bytes.NewReader(make([]byte, 8<<20)), 8<<20, nil, s3.Properties{}, s3.Cond{})
		took := time.Since(start)
		close(release)
		if !errors.Is(err, s3.ErrTimeout) || took < 45*time.Second || took > 60*time.Second {
			t.Errorf("Put: %v after %v; want ErrTimeout after 3 tries of 15 s", err, took)
		}
	})
}

func TestSlowUploadGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
		srv.SetLink(s3test.Link{RTT: 100 * time.Millisecond, Up: 50 << 10})
		start := time.Now()
		_, err := b.Put(context.Background(), "a", bytes.NewReader(make([]byte, 8<<20)), 8<<20, nil, s3.Properties{}, s3.Cond{})
		if took := time.Since(start); err != nil || took < 2*time.Minute {
			t.Errorf("Put: %v after %v", err, took)
		}
		if n := srv.Count("PutObject"); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestLink(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
		srv.SetLink(s3test.Link{RTT: 40 * time.Millisecond, Down: 10 << 20})
		etag := srv.PutPattern("big", 1<<40)
		start := time.Now()
		body, o, err := b.GetRange(context.Background(), "big", etag, "", 1<<39, 20<<20)
		if err != nil {
			t.Fatal(err)
		}
		first := time.Since(start)
		got, err := io.ReadAll(body)
		took := time.Since(start)
		body.Close()
		want := make([]byte, 20<<20)
		s3test.Pattern{}.ReadAt(want, 1<<39)
		if err != nil || !bytes.Equal(got, want) || o.Size != 1<<40 {
			t.Errorf("read %d bytes of %d: %v", len(got), o.Size, err)
		}
		if first < 80*time.Millisecond || first > 100*time.Millisecond {
			t.Errorf("first byte after %v; want two round trips", first)
		}
		if took < 2*time.Second || took > 2300*time.Millisecond {
			t.Errorf("20 MiB at 10 MiB/s took %v", took)
		}
	})
}

func TestRetries(t *testing.T) {
	ctx := context.Background()
	cases := []struct {
		name  string
		fault s3test.Fault
		kind  error
		tries int
	}{
		{"server error", s3test.Fault{Status: 500, Code: "InternalError"}, s3.ErrServer, 8},
		{"slow down", s3test.Fault{Status: 503, Code: "SlowDown"}, s3.ErrThrottled, 8},
		{"too many", s3test.Fault{Status: 429, Code: "TooManyRequests"}, s3.ErrThrottled, 8},
		{"dropped", s3test.Fault{Drop: true}, s3.ErrUnavailable, 3},
		{"denied", s3test.Fault{Status: 403, Code: "AccessDenied"}, s3.ErrDenied, 1},
		{"unknown key", s3test.Fault{Status: 403, Code: "InvalidAccessKeyId"}, s3.ErrCredentials, 1},
		{"conflict", s3test.Fault{Status: 409, Code: "ConditionalRequestConflict"}, s3.ErrConflict, 1},
		{"digest", s3test.Fault{Status: 400, Code: "BadDigest"}, s3.ErrBadDigest, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
				srv.Fault(func(*http.Request) *s3test.Fault { return &c.fault })
				_, err := b.Put(ctx, "k", strings.NewReader("x"), 1, nil, s3.Properties{}, s3.Cond{})
				if !errors.Is(err, c.kind) {
					t.Errorf("got %v; want %v", err, c.kind)
				}
				if s3.Remedy(err) == "" {
					t.Error("no remedy")
				}
				// net/http repeats a request once by itself when a used connection
				// breaks before the answer; here none was used before.
				if n := srv.Count("PutObject"); n != c.tries {
					t.Errorf("%d tries; want %d", n, c.tries)
				}
			})
		})
	}
}

// TestListingsThatCannotBeRead holds that no answer but a listing is taken for one, and
// that it is asked again.
func TestListingsThatCannotBeRead(t *testing.T) {
	page := func(inside string) []byte {
		return []byte(xml.Header + "<ListBucketResult><Name>bucket</Name>" + inside + "</ListBucketResult>")
	}
	for name, body := range map[string][]byte{
		"nothing":           {},
		"cut":               page("<Contents><Key>dir/a</Key></Contents>")[:90],
		"a page of the web": []byte("<html><body>Please log in</body></html>"),
		"an error":          []byte("<Error><Code>InternalError</Code></Error>"),
		"of another prefix": page("<Contents><Key>d</Key><Size>1</Size></Contents>"),
		"of another folder": page("<CommonPrefixes><Prefix>other/</Prefix></CommonPrefixes>"),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
				srv.PutObject("dir/a", nil, nil)
				tries := 0
				srv.Fault(func(*http.Request) *s3test.Fault {
					if tries++; tries < 3 || strings.HasPrefix(name, "of ") {
						return &s3test.Fault{Instead: body}
					}
					return nil
				})
				page, err := b.List(context.Background(), "dir/", "/", "", "", 0)
				if strings.HasPrefix(name, "of ") {
					if !errors.Is(err, s3.ErrServer) {
						t.Errorf("%v, %v", page.Objects, err)
					}
				} else if err != nil || len(page.Objects) != 1 {
					t.Errorf("%v, %v", page.Objects, err)
				}
			})
		})
	}
}

// TestNamesOutliveThrottling: who is asked to slow down goes on listing, looking, renaming and
// deleting; a server that is down is found to be so as soon as by any other request.
func TestNamesOutliveThrottling(t *testing.T) {
	ctx := context.Background()
	requests := map[string]func(b *s3.Bucket) error{
		"list": func(b *s3.Bucket) error {
			page, err := b.List(ctx, "", "", "", "", 0)
			if err == nil && len(page.Objects) != 1 {
				err = fmt.Errorf("listed %v", page.Objects)
			}
			return err
		},
		"head": func(b *s3.Bucket) error {
			_, err := b.Head(ctx, "a")
			return err
		},
		"copy": func(b *s3.Bucket) error {
			_, err := b.Copy(ctx, s3.Object{Key: "a"}, "b", nil, s3.Cond{})
			return err
		},
		"delete": func(b *s3.Bucket) error { return b.Delete(ctx, "a") },
		"delete many": func(b *s3.Bucket) error {
			_, err := b.DeleteAll(ctx, []string{"a"})
			return err
		},
	}
	for name, request := range requests {
		for fault, down := range map[*s3test.Fault]bool{
			{Status: 503, Code: "SlowDown"}:                              false,
			{Status: 503, Header: http.Header{"X-Amz-Request-Id": {""}}}: true,
		} {
			inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
				srv.PutObject("a", []byte("x"), nil)
				began := time.Now()
				srv.Fault(func(*http.Request) *s3test.Fault {
					if time.Since(began) > 40*time.Second {
						return nil
					}
					return fault
				})
				err := request(b)
				took := time.Since(began)
				switch {
				case !down && err != nil:
					t.Errorf("%s, throttled for 40 s: %v after %v", name, err, took)
				case down && (!errors.Is(err, s3.ErrServer) && !errors.Is(err, s3.ErrThrottled) || took > 30*time.Second):
					t.Errorf("%s, 503 for 40 s: %v after %v", name, err, took)
				}
			})
		}
	}
}

func TestRetryRewindsBody(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
		first := true
		srv.Fault(func(*http.Request) *s3test.Fault {
			defer func() { first = false }()
			if first {
				return &s3test.Fault{LoseAnswer: true}
			}
			return nil
		})
		body := strings.NewReader("head:body")
		body.Seek(5, io.SeekStart)
		if _, err := b.Put(context.Background(), "k", body, 4, nil, s3.Properties{}, s3.Cond{}); err != nil {
			t.Fatal(err)
		}
		if got, _ := srv.Object("k"); string(got) != "body" {
			t.Errorf("got %q", got)
		}
	})
}

func TestBodyBreaks(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
		etag := srv.PutPattern("k", 1<<20)
		srv.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{Cut: true, After: 1000} })
		body, _, err := b.GetRange(context.Background(), "k", etag, "", 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		n, err := io.Copy(io.Discard, body)
		if n != 1000 || !errors.Is(err, s3.ErrUnavailable) || !s3.Retryable(err) {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

func TestBodyStalls(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
		etag := srv.PutPattern("k", 1<<20)
		srv.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{Stall: true, After: 1000} })
		ctx, cancel := context.WithCancel(context.Background())
		body, _, err := b.GetRange(ctx, "k", etag, "", 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		time.AfterFunc(time.Hour, cancel)
		n, err := io.Copy(io.Discard, body)
		if n != 1000 || !errors.Is(err, context.Canceled) {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

func TestGetRangeChecks(t *testing.T) {
	ctx := context.Background()
	cases := []struct {
		name   string
		fault  *s3test.Fault
		etag   string
		off, n int64
		ignore bool
		kind   error
	}{
		{name: "as asked", off: 2, n: 3},
		{name: "no etag asked, past the end", etag: "-", off: 8, n: 5},
		{name: "other etag", etag: `"other"`, n: 3, kind: s3.ErrPrecondition},
		{name: "other etag, If-Match ignored", etag: `"other"`, n: 3, ignore: true, kind: s3.ErrChanged},
		{name: "answer names another etag", fault: &s3test.Fault{ETag: `"other"`}, n: 3, kind: s3.ErrChanged},
		{name: "shorter than thought", off: 8, n: 5, kind: s3.ErrChanged},
		{name: "much shorter than thought", off: 80, n: 5, kind: s3.ErrChanged},
		{name: "archived", fault: &s3test.Fault{Status: 403, Code: "InvalidObjectState"}, n: 3, kind: s3.ErrArchived},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
				etag := srv.PutObject("k", []byte("0123456789"), nil)
				switch c.etag {
				case "":
				case "-":
					etag = ""
				default:
					etag = c.etag
				}
				srv.IgnoreConditions(c.ignore)
				srv.Fault(func(*http.Request) *s3test.Fault { return c.fault })
				body, o, err := b.GetRange(ctx, "k", etag, "", c.off, c.n)
				if c.kind != nil {
					if !errors.Is(err, c.kind) {
						t.Errorf("got %v; want %v", err, c.kind)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				got, _ := io.ReadAll(body)
				body.Close()
				if want := "0123456789"[c.off:min(c.off+c.n, 10)]; string(got) != want || o.Size != 10 {
					t.Errorf("got %q of %d; want %q", got, o.Size, want)
				}
			})
		})
	}
}

// A precondition that fails on a large body is told as such.
func TestLargePutRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
		srv.PutObject("k", []byte("theirs"), nil)
		data := make([]byte, 32<<20)
		_, err := b.Put(context.Background(), "k", bytes.NewReader(data), int64(len(data)), nil, s3.Properties{}, s3.Cond{IfNoneMatch: true})
		if !errors.Is(err, s3.ErrPrecondition) {
			t.Errorf("got %v", err)
		}
		for _, r := range srv.Requests() {
			if r.Bytes > 0 {
				t.Errorf("%s sent %d bytes in vain", r.Op, r.Bytes)
			}
		}
	})
}

func TestCancel(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
		srv.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{NoAnswer: true} })
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Second, cancel)
		_, err := b.Head(ctx, "k")
		if !errors.Is(err, context.Canceled) || s3.Retryable(err) {
			t.Errorf("got %v", err)
		}
		ctx, cancel = context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err = b.Head(ctx, "k"); !errors.Is(err, s3.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestStats(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
		ctx := context.Background()
		b.Put(ctx, "k", strings.NewReader("12345"), 5, nil, s3.Properties{}, s3.Cond{})
		body, _, err := b.GetRange(ctx, "k", "", "", 1, 3)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, body)
		body.Close()
		b.Head(ctx, "none")
		s := b.Stats()
		if s.Up != 5 || s.Down != 3 || s.Failures != 1 || s.Requests["PutObject"] != 1 || s.Requests["GetObject"] != 1 || s.Requests["HeadObject"] != 1 {
			t.Errorf("got %+v", s)
		}
	})
}
