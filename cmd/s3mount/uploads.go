package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"
)

type uploadsCmd struct {
	Bucket target `arg:"" placeholder:"BUCKET[/PREFIX]" help:"Bucket, or a folder in it."`

	bucketFlags `group:"The bucket:"`

	JSON bool `name:"json" help:"Print JSON."`
}

func (uploadsCmd) Help() string {
	return `Lists multipart uploads that were neither completed nor aborted, of whatever program,
also those in progress. The store charges for their parts. Nothing is aborted.`
}

// uploadJSON is one entry of `uploads --json`.
type uploadJSON struct {
	Key       string    `json:"key"`
	ID        string    `json:"id"`
	Initiated time.Time `json:"initiated"`
}

func (c uploadsCmd) Run(ctx context.Context, std streams) error {
	cfg, err := c.config(c.Bucket, writeFlags{}, nil)
	if err != nil {
		return err
	}
	bucket, err := checkBucket(ctx, cfg)
	if err != nil {
		return err
	}
	found, err := bucket.ListUploads(ctx, c.Bucket.prefix)
	if err != nil {
		return err
	}
	if c.JSON {
		all := []uploadJSON{}
		for _, u := range found {
			all = append(all, uploadJSON{u.Key, u.ID, u.Initiated.UTC()})
		}
		enc := json.NewEncoder(std.out)
		enc.SetIndent("", "  ")
		return enc.Encode(all)
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, u := range found {
		fmt.Fprintf(w, "%s\t%s\t%s\n", u.Initiated.Local().Format(time.DateTime), printable(u.Key), u.ID)
	}
	if len(found) == 0 {
		fmt.Fprintln(w, "no unfinished uploads")
	}
	return w.Flush()
}
