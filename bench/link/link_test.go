package link

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

var testProfile = Profile{Name: "test", RTT: 30 * time.Millisecond, Conn: 50e6, Total: 125e6}

// connect makes a connection through a link in virtual time.
func connect(l *Link) (client, server net.Conn) {
	client, in := net.Pipe()
	out, server := net.Pipe()
	go l.carry(in, out)
	return client, server
}

// send writes n bytes at one end while the other reads, and says how long it
// took from the first until the last of them came.
func send(t *testing.T, from io.Writer, to io.Reader, n int64) time.Duration {
	t.Helper()
	began := time.Now()
	go func() {
		if _, err := from.Write(make([]byte, n)); err != nil {
			t.Error(err)
		}
	}()
	if _, err := io.CopyN(io.Discard, to, n); err != nil {
		t.Error(err)
	}
	return time.Since(began)
}

// near accepts what the credit of a line makes of a time.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got < want-2*credit || got > want+credit {
		t.Errorf("%s: took %v, want about %v", what, got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(testProfile)
		client, server := connect(l)
		defer client.Close()
		first := send(t, client, server, 1)
		if want := 45 * time.Millisecond; first != want {
			t.Errorf("a first byte comes after %v, want handshake and half a round trip: %v", first, want)
		}
		back := send(t, server, client, 1)
		if want := 15 * time.Millisecond; back != want {
			t.Errorf("an answer comes after %v, want half a round trip: %v", back, want)
		}
		if again := send(t, client, server, 1); again != 15*time.Millisecond {
			t.Errorf("a later byte comes after %v, want no handshake", again)
		}
	})
}

func TestConnectionBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(testProfile)
		client, server := connect(l)
		defer client.Close()
		send(t, client, server, 1)
		near(t, "50 MB up one connection", send(t, client, server, 50e6), time.Second+15*time.Millisecond)
		near(t, "50 MB down one connection", send(t, server, client, 50e6), time.Second+15*time.Millisecond)
	})
}

func TestTotalBandwidthIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(testProfile)
		const conns, each = 5, 25e6 // 250 MB/s of connections on a line of 125
		took := make(chan time.Duration)
		for range conns {
			client, server := connect(l)
			defer client.Close()
			go func() { took <- send(t, client, server, each) }()
		}
		first, last := <-took, time.Duration(0)
		for range conns - 1 {
			last = <-took
		}
		near(t, "the last of five connections", last, time.Second+45*time.Millisecond)
		if first < last*95/100 {
			t.Errorf("the first ends after %v, the last after %v: want equal shares", first, last)
		}
		if got := l.Counts(); got.Up != conns*each || got.Down != 0 || got.Conns != conns {
			t.Errorf("counts %+v, want %d bytes up by %d connections", got, int64(conns*each), conns)
		}
	})
}

// Both directions have the whole bandwidth.
func TestDirectionsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(testProfile)
		client, server := connect(l)
		defer client.Close()
		send(t, client, server, 1)
		took := make(chan time.Duration)
		go func() { took <- send(t, client, server, 25e6) }()
		near(t, "down while up is busy", send(t, server, client, 25e6), 515*time.Millisecond)
		near(t, "up while down is busy", <-took, 515*time.Millisecond)
	})
}

// A reader that stands still holds up its sender, and nothing piles up.
func TestStalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(testProfile)
		client, server := connect(l)
		defer client.Close()
		go server.Write(make([]byte, 100e6)) // ends with an error, when the client closes
		time.Sleep(time.Minute)
		most := int64(window(testProfile) + 2*chunkSize)
		if got := l.Counts().Down; got > most {
			t.Errorf("%d bytes left the server, want at most %d", got, most)
		}
	})
}

func TestCloseReachesTheOtherEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(testProfile)
		client, server := connect(l)
		go func() {
			client.Write([]byte("last words"))
			client.Close()
		}()
		got, err := io.ReadAll(server)
		if err != nil || string(got) != "last words" {
			t.Errorf("the server reads %q, %v", got, err)
		}
	})
}

func TestRequestsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(testProfile)
		client, server := connect(l)
		defer client.Close()
		say := func(from io.Writer, to io.Reader, text string) {
			t.Helper()
			go io.WriteString(from, text)
			if _, err := io.ReadFull(to, make([]byte, len(text))); err != nil {
				t.Fatal(err)
			}
		}
		say(client, server, "GET /a HTTP/1.1\r\n\r\n")
		say(server, client, "HTTP/1.1 200 OK\r\n\r\nGET /no request")
		say(client, server, "PUT /b HTTP/1.1\r\nExpect: 100-continue\r\n\r\n")
		say(server, client, "HTTP/1.1 100 Continue\r\n\r\n")
		say(client, server, "PUT /in the body")
		say(server, client, "HTTP/1.1 200 OK\r\n\r\n")
		say(client, server, "HEAD /b HTTP/1.1\r\n\r\n")
		say(server, client, "HTTP/1.1 200 OK\r\n\r\n")
		say(client, server, "DELETE /b HTTP/1.1\r\n\r\n")
		got := l.Counts()
		if got.Requests != 4 || got.Gets != 1 || got.Puts != 1 || got.Heads != 1 {
			t.Errorf("counted %+v, want 4 requests: a GET, a PUT, a HEAD and a DELETE", got)
		}
	})
}
