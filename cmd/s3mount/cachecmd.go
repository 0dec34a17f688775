package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"text/tabwriter"
	"time"
)

type cacheCmd struct {
	Stats cacheStatsCmd `cmd:"" help:"Show what the cache on disk holds."`
	Clear cacheClearCmd `cmd:"" help:"Empty the cache on disk."`
	Evict cacheEvictCmd `cmd:"" help:"Take files out of the cache on disk."`
}

type cacheStatsCmd struct {
	Mountpoint string `arg:"" optional:"" help:"Mountpoint, or a path in it. Default: all mounts of this user."`
	JSON       bool   `name:"json" help:"Print JSON: a list with one entry for each mount."`
}

func (c cacheStatsCmd) Run(ctx context.Context, std streams) error {
	mounts, err := runningMounts(c.Mountpoint)
	if err != nil {
		return err
	}
	all := []cacheStats{}
	for _, rec := range mounts {
		var st cacheStats
		if err := newClient(rec).call(ctx, http.MethodGet, "/cache", nil, &st); err != nil {
			return goneProblem(rec, err)
		}
		all = append(all, st)
	}
	return printMounts(std, c.JSON, all, printCacheStats)
}

func printCacheStats(out io.Writer, st cacheStats) error {
	fmt.Fprintln(out, st.Mountpoint)
	if st.Limit == 0 {
		fmt.Fprintln(out, "  nothing is cached on disk")
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "  on disk\t%s of %s\n", bytesText(st.Bytes), bytesText(st.Limit))
	fmt.Fprintf(w, "  read from it\t%s\n", bytesText(st.FromDisk))
	fmt.Fprintf(w, "  read from the bucket\t%s\n", bytesText(st.FromBucket))
	fmt.Fprintf(w, "  given up for others\t%s\n", plural(int(st.Evicted), "block"))
	if st.Damaged > 0 {
		fmt.Fprintf(w, "  found damaged, and dropped\t%s\n", plural(int(st.Damaged), "block"))
	}
	if st.DiskIsFull {
		fmt.Fprintf(w, "  the disk has no room for the whole limit\t\n")
	}
	return w.Flush()
}

type cacheClearCmd struct {
	Mountpoint string `arg:"" optional:"" help:"Mountpoint, or a path in it. Default: all mounts of this user."`
}

func (cacheClearCmd) Help() string {
	return `Files that are not in the bucket yet are not in this cache, and stay.`
}

func (c cacheClearCmd) Run(ctx context.Context) error {
	mounts, err := runningMounts(c.Mountpoint)
	if err != nil {
		return err
	}
	for _, rec := range mounts {
		if _, err := newClient(rec).order(ctx, "cache/clear", ""); err != nil {
			return err
		}
	}
	return nil
}

type cacheEvictCmd struct {
	Paths []string `arg:"" name:"path" help:"Files or folders in a mount."`
}

func (c cacheEvictCmd) Run(ctx context.Context, std streams) error {
	places, err := placesOf(c.Paths)
	if err != nil {
		return err
	}
	total := int64(0)
	for _, p := range places {
		var e evicted
		if err := newClient(p.rec).call(ctx, http.MethodPost, "/cache/evict?path="+url.QueryEscape(p.rel), nil, &e); err != nil {
			return goneProblem(p.rec, err)
		}
		if err := e.problem(); err != nil {
			return err
		}
		total += e.Bytes
	}
	fmt.Fprintf(std.out, "%s freed\n", bytesText(total))
	return nil
}

type warmCmd struct {
	Paths []string `arg:"" name:"path" help:"Files or folders in a mount."`
}

func (warmCmd) Help() string {
	return `What is in the cache already is not fetched again. A large copy or export does not
push out what was warmed. It returns when everything is there; Ctrl-C stops it, and what
was fetched stays.

Example:
  s3mount warm /mnt/footage/day1`
}

func (c warmCmd) Run(ctx context.Context, std streams) error {
	places, err := placesOf(c.Paths)
	if err != nil {
		return err
	}
	for _, p := range places {
		show := newProgress(std.err)
		end, err := newClient(p.rec).warm(ctx, p.rel, func(st warmState) {
			show.line(fmt.Sprintf("%s, %s of %s", plural(st.Files, "file"), bytesText(st.Done), bytesText(st.Bytes)))
		})
		show.end()
		if err != nil {
			return goneProblem(p.rec, err)
		}
		if err := end.problem(); err != nil {
			return err
		}
		fmt.Fprintf(std.out, "%s: %s, %s on local disk\n", printable(filepath.Join(p.rec.Mountpoint, p.rel)), plural(end.Files, "file"), bytesText(end.Done))
	}
	return nil
}

// line shows a line that the next one replaces; where there is no terminal, one in a while.
func (p *progress) line(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
		p.mu.open = true
	} else if time.Since(p.mu.shown) >= 5*time.Second {
		p.mu.shown = time.Now()
		fmt.Fprintln(p.w, "s3mount: "+text)
	}
}

// warm fetches what is at a path or below it, and returns the last report.
func (c *client) warm(ctx context.Context, path string, report func(warmState)) (st warmState, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://mount/warm?path="+url.QueryEscape(path), nil)
	if err != nil {
		return st, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return st, gone(ctx, err)
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); !st.Ended; {
		st = warmState{}
		if err := lines.Decode(&st); err != nil {
			return st, gone(ctx, err)
		}
		report(st)
	}
	return st, nil
}
