package main

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"s3mount/internal/s3"
)

// bucketFlags say how to reach a bucket; credentials come from where every
// AWS tool looks: environment, profiles, SSO, web identity, the machine's role.
type bucketFlags struct {
	Endpoint  string `placeholder:"URL" help:"Address of the S3 server, with http:// or https://. Default: AWS."`
	Region    string `help:"Region of the bucket. Default: as in the environment or the profile."`
	Profile   string `help:"Profile in ~/.aws/config to take credentials from."`
	PathStyle string `enum:"auto,always,never" default:"auto" help:"Put the bucket into the path instead of the host name: auto, always or never (${default}: for IP addresses and localhost)."`
	Anonymous bool   `help:"Send no credentials, for public buckets."`

	RequestPayer bool `help:"Pay for the requests to a requester-pays bucket."`
}

// writeFlags are properties of the objects that are written.
type writeFlags struct {
	SSE          string `name:"sse" enum:",AES256,aws:kms,aws:kms:dsse" default:"" placeholder:"METHOD" help:"Encryption that the server applies: AES256, aws:kms or aws:kms:dsse."`
	SSEKMSKey    string `name:"sse-kms-key" placeholder:"KEY" help:"Key for --sse=aws:kms."`
	StorageClass string `placeholder:"CLASS" help:"Storage class of new objects, such as STANDARD_IA."`
	ACL          string `name:"acl" enum:",private,public-read,public-read-write,authenticated-read,aws-exec-read,bucket-owner-read,bucket-owner-full-control" default:"" placeholder:"ACL" help:"Canned ACL of new objects, such as bucket-owner-full-control."`
}

// config checks the flags against each other.
func (f bucketFlags) config(t target, w writeFlags, log *slog.Logger) (s3.Config, error) {
	if err := checkEndpoint(f.Endpoint); err != nil {
		return s3.Config{}, err
	}
	if f.Anonymous && f.Profile != "" {
		return s3.Config{}, &problem{cause: "--anonymous and --profile contradict each other", remedy: "leave one of them out"}
	}
	if w.SSEKMSKey != "" {
		switch w.SSE {
		case "":
			w.SSE = "aws:kms"
		case "AES256":
			return s3.Config{}, &problem{cause: "--sse=AES256 takes no --sse-kms-key", remedy: "use --sse=aws:kms"}
		}
	}
	return s3.Config{
		Bucket: t.bucket, Prefix: t.prefix, Endpoint: f.Endpoint, Region: f.Region, Profile: f.Profile,
		PathStyle: f.PathStyle, Anonymous: f.Anonymous, RequestPayer: f.RequestPayer,
		SSE: w.SSE, SSEKMSKey: w.SSEKMSKey, StorageClass: w.StorageClass, ACL: w.ACL,
		Log: log,
	}, nil
}

func checkEndpoint(s string) error {
	if s == "" {
		return nil
	}
	const remedy = "write it like https://s3.example.com or http://192.168.1.5:9000"
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return &problem{cause: fmt.Sprintf("the endpoint %q is no URL with http:// or https://", safeURL(s)), remedy: remedy}
	case u.User != nil:
		return &problem{cause: "the endpoint carries a user name or a password", remedy: "leave them out, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"}
	case u.RawQuery != "" || u.Fragment != "":
		return &problem{cause: fmt.Sprintf("the endpoint %q has a query or a fragment", u.Host), remedy: remedy}
	}
	return nil
}

// config is the checked configuration of the mount. It touches nothing.
func (c *mountCmd) config(log *slog.Logger) (mountConfig, error) {
	bucket, err := c.bucketConfig(log)
	if err != nil {
		return mountConfig{}, err
	}
	if err := c.checkNumbers(); err != nil {
		return mountConfig{}, err
	}
	mountpoint, err := filepath.Abs(c.Mountpoint)
	if err != nil {
		return mountConfig{}, err
	}
	cache, err := filepath.Abs(c.CacheDir)
	if err != nil {
		return mountConfig{}, err
	}
	cfg := mountConfig{
		Bucket: c.Bucket.bucket, Prefix: c.Bucket.prefix, Mountpoint: mountpoint, S3: bucket,
		CacheDir: cache, SpoolSize: int64(c.SpoolSize), Memory: int64(c.Memory), ReadaheadMax: int64(c.ReadaheadMax), ListTTL: c.ListTTL,
		Times: c.Times, ReadOnly: c.ReadOnly, AllowOther: c.AllowOther, NoExec: c.NoExec, Source: c.FSName,
		UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Umask: uint32(c.Umask),
		Close: c.Close, Fsync: c.Fsync, FsyncTimeout: c.FsyncTimeout, Settle: c.Settle,
		PartSize: int64(c.PartSize), AllowTmpfs: c.AllowTmpfs, Debug: c.LogLevel == "debug",
	}
	if cfg.Source == "" {
		cfg.Source = "s3mount:" + cfg.Bucket + "/" + cfg.Prefix
	}
	if cfg.PartSize == 0 {
		cfg.PartSize = partSize(bucket.Endpoint)
	}
	cfg.CacheSize = -1
	if c.CacheSize != nil {
		cfg.CacheSize = int64(*c.CacheSize)
	}
	if c.UID != nil {
		cfg.UID = *c.UID
	}
	if c.GID != nil {
		cfg.GID = *c.GID
	}
	return cfg, nil
}

func (c *mountCmd) bucketConfig(log *slog.Logger) (s3.Config, error) {
	return c.bucketFlags.config(c.Bucket, c.writeFlags, log)
}

func (c *mountCmd) checkNumbers() error {
	if c.Memory < minMemory {
		return &problem{cause: fmt.Sprintf("--memory %v is too little", c.Memory), remedy: fmt.Sprintf("give at least %v", size(minMemory))}
	}
	if c.SpoolSize != 0 && c.SpoolSize < minSpoolSize {
		return &problem{cause: fmt.Sprintf("--spool-size %v is too little", c.SpoolSize), remedy: fmt.Sprintf("give at least %v, or leave it out", size(minSpoolSize))}
	}
	if n := c.CacheSize; n != nil && *n != 0 && *n < minCacheSize {
		return &problem{cause: fmt.Sprintf("--cache-size %v is too little", *n), remedy: fmt.Sprintf("give at least %v, or 0 for none", size(minCacheSize))}
	}
	if c.ReadaheadMax > c.Memory {
		return &problem{cause: fmt.Sprintf("--readahead-max %v is more than --memory %v", c.ReadaheadMax, c.Memory), remedy: "lower it, or raise --memory"}
	}
	if c.PartSize != 0 && (c.PartSize < minPartSize || c.PartSize > maxPartSize) {
		return &problem{cause: fmt.Sprintf("--part-size %v is outside of what S3 takes", c.PartSize), remedy: "give 5MiB to 5GiB, or leave it out"}
	}
	for flag, d := range map[string]time.Duration{"--list-ttl": c.ListTTL, "--fsync-timeout": c.FsyncTimeout, "--settle": c.Settle, "--drain-timeout": c.DrainTimeout} {
		if d < 0 {
			return &problem{cause: fmt.Sprintf("%s %v is negative", flag, d), remedy: "give a time like 5s or 2m"}
		}
	}
	if strings.TrimSpace(c.Mountpoint) == "" {
		return &problem{cause: "the mountpoint is empty", remedy: "name an empty directory"}
	}
	if c.CacheDir == "" {
		return &problem{cause: "there is no place for the cache directory, HOME is not set", remedy: "name one with --cache-dir"}
	}
	return nil
}
