package link

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// Serve runs a link for a process that holds both ends of in and out: a JSON
// line with the profile and the upstream address comes in, a line with the
// address goes out, then each line that comes in is answered with the counts.
// It returns when in ends, so a link never outlives its owner.
func Serve(in io.Reader, out io.Writer) error {
	requests, answers := json.NewDecoder(in), json.NewEncoder(out)
	var s setup
	if err := requests.Decode(&s); err != nil {
		return fmt.Errorf("read what link to make: %w", err)
	}
	l, err := Listen(s.Profile, s.Upstream)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := answers.Encode(l.Addr()); err != nil {
		return err
	}
	for {
		var question string
		if err := requests.Decode(&question); err != nil {
			return nil // the owner has gone
		}
		if err := answers.Encode(l.Counts()); err != nil {
			return err
		}
	}
}

type setup struct {
	Profile  Profile
	Upstream string
}

// Process is a link in a process of its own, so that a blocked system call of
// a load never holds up the link.
type Process struct {
	Addr string

	cmd *exec.Cmd
	in  io.WriteCloser

	mu  sync.Mutex
	ask *json.Encoder
	get *json.Decoder
}

// Spawn starts cmd, which must run [Serve] on its standard input and output.
func Spawn(cmd *exec.Cmd, p Profile, upstream string) (*Process, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l := &Process{cmd: cmd, in: in, ask: json.NewEncoder(in), get: json.NewDecoder(bufio.NewReader(out))}
	err = l.ask.Encode(setup{p, upstream})
	if err == nil {
		err = l.get.Decode(&l.Addr)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("start a link: %w", err)
	}
	return l, nil
}

// Counts is what has passed so far.
func (p *Process) Counts() (Counts, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var c Counts
	if err := p.ask.Encode("counts"); err != nil {
		return c, fmt.Errorf("ask the link: %w", err)
	}
	if err := p.get.Decode(&c); err != nil {
		return c, fmt.Errorf("ask the link: %w", err)
	}
	return c, nil
}

// Close ends the link and waits for its process.
func (p *Process) Close() error {
	p.in.Close()
	return p.cmd.Wait()
}
