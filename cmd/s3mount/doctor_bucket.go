package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/sum"
)

// bucketDoctor tries everything that a mount does with a bucket.
type bucketDoctor struct {
	found    *findings
	cfg      s3.Config
	prefix   string
	readOnly bool

	bucket *s3.Bucket
	key    string // the scratch object
}

func (d *bucketDoctor) check(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if !d.checkReach(ctx) {
		return
	}
	d.checkList(ctx)
	if d.readOnly {
		d.checkReadAny(ctx)
		return
	}
	d.key = d.prefix + ".s3mount-doctor-" + strings.ToLower(rand.Text())
	if d.checkWrite(ctx) {
		d.checkRead(ctx)
		d.checkConditions(ctx)
		d.checkDelete()
	}
	d.checkMultipart(ctx)
}

// checkReach says at which of endpoint, clock, credentials and bucket it ends.
func (d *bucketDoctor) checkReach(ctx context.Context) bool {
	bucket, err := checkBucket(ctx, d.cfg)
	d.bucket = bucket
	server := endpointName(d.cfg)
	var e *s3.Error
	unreachable := errors.Is(err, s3.ErrUnavailable) || errors.Is(err, s3.ErrTimeout)
	switch {
	case err == nil:
		d.found.ok("endpoint", "%s answers", strings.TrimPrefix(server, "the endpoint "))
		d.found.ok("credentials", "accepted")
		d.found.ok("bucket", "%s is there", d.cfg.Bucket)
		return true
	case unreachable:
		d.found.failErr("endpoint", err)
		return false
	case errors.As(err, &e) && e.Status != 0:
		d.found.ok("endpoint", "%s answers", strings.TrimPrefix(server, "the endpoint "))
	}
	switch {
	case errors.Is(err, s3.ErrClockSkew):
		d.found.failErr("clock", err)
	case errors.Is(err, s3.ErrCredentials):
		d.found.failErr("credentials", err)
	default:
		d.found.failErr("bucket", err)
	}
	return false
}

func (d *bucketDoctor) checkList(ctx context.Context) {
	page, err := d.bucket.List(ctx, d.prefix, "/", "", "", 10)
	switch {
	case err != nil:
		d.found.failErr("list", err)
	case len(page.Objects)+len(page.Prefixes) == 0 && d.prefix != "":
		d.found.ok("list", "there is nothing below %s yet", d.prefix)
	default:
		d.found.ok("list", "permitted")
	}
}

// checkReadAny reads the first byte of whatever is there.
func (d *bucketDoctor) checkReadAny(ctx context.Context) {
	page, err := d.bucket.List(ctx, d.prefix, "", "", "", 50)
	if err != nil {
		d.found.failErr("read", err)
		return
	}
	for _, o := range page.Objects {
		if o.Size == 0 || o.Archived {
			continue
		}
		if _, err := d.readAll(ctx, o.Key, o.ETag, 1); err != nil {
			d.found.failErr("read", err)
			return
		}
		d.found.ok("read", "permitted")
		return
	}
	d.found.ok("read", "there is no object to try it with")
}

func (d *bucketDoctor) readAll(ctx context.Context, key, etag string, n int64) ([]byte, error) {
	body, _, err := d.bucket.GetRange(ctx, key, etag, "", 0, n)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

const scratchText = "Written by s3mount doctor. It may be deleted.\n"

func (d *bucketDoctor) put(ctx context.Context, c s3.Cond) (s3.Object, error) {
	return d.bucket.Put(ctx, d.key, strings.NewReader(scratchText), int64(len(scratchText)), nil, s3.Properties{ContentType: "text/plain"}, c)
}

func (d *bucketDoctor) checkWrite(ctx context.Context) bool {
	if _, err := d.put(ctx, s3.Cond{}); err != nil {
		d.found.failErr("write", err)
		return false
	}
	d.found.ok("write", "permitted")
	return true
}

// checkRead compares the bytes, and the server's clock with this one.
func (d *bucketDoctor) checkRead(ctx context.Context) {
	o, err := d.bucket.Head(ctx, d.key)
	if err != nil {
		d.found.failErr("read", err)
		return
	}
	now := time.Now()
	got, err := d.readAll(ctx, d.key, o.ETag, o.Size)
	switch {
	case err != nil:
		d.found.failErr("read", err)
	case !bytes.Equal(got, []byte(scratchText)):
		d.found.fail("read", fmt.Sprintf("%d bytes came back that are not those that were written", len(got)), "do not use this store before its operator has explained that")
	default:
		d.found.ok("read", "permitted, the bytes are those that were written")
	}
	checkClock(d.found, now.Sub(o.LastModified))
}

// checkClock judges the age of an object that was written just now.
func checkClock(found *findings, age time.Duration) {
	const tolerated = time.Minute
	if age > tolerated || age < -tolerated {
		found.fail("clock", fmt.Sprintf("this machine and the server differ by %v", age.Round(time.Second).Abs()), "set the clock, for instance with: timedatectl set-ntp true")
		return
	}
	found.ok("clock", "agrees with the server's")
}

// checkConditions finds out whether two machines are kept from overwriting
// each other's files.
func (d *bucketDoctor) checkConditions(ctx context.Context) {
	_, absent := d.put(ctx, s3.Cond{IfNoneMatch: true})
	_, match := d.put(ctx, s3.Cond{IfMatch: `"00000000000000000000000000000000"`})
	if errors.Is(absent, s3.ErrPrecondition) && errors.Is(match, s3.ErrPrecondition) {
		d.found.ok("conditional writes", "honoured")
		return
	}
	for _, err := range []error{absent, match} {
		if err != nil && !errors.Is(err, s3.ErrPrecondition) && !errors.Is(err, s3.ErrUnsupported) {
			d.found.failErr("conditional writes", err)
			return
		}
	}
	d.found.fail("conditional writes", "the server ignores them: of two machines that write one file at the same moment one may lose its version", "let one machine at a time write to a file, or use a store that supports If-Match")
}

// checkDelete also cleans up: it has a time limit of its own, and runs when
// the other checks were interrupted.
func (d *bucketDoctor) checkDelete() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := d.bucket.Delete(ctx, d.key); err != nil {
		detail, remedy := split(err)
		d.found.fail("delete", detail, remedy+"; the scratch object "+d.key+" is still there")
		return
	}
	d.found.ok("delete", "permitted")
}

func (d *bucketDoctor) checkMultipart(ctx context.Context) {
	id, err := d.bucket.CreateUpload(ctx, d.key, s3.Properties{})
	if err != nil {
		d.found.failErr("multipart upload", err)
		return
	}
	sums := sum.Of([]byte(scratchText))
	_, err = d.bucket.UploadPart(ctx, d.key, id, 1, strings.NewReader(scratchText), int64(len(scratchText)), &sums)
	if err == nil {
		_, err = d.bucket.ListParts(ctx, d.key, id)
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if e := d.bucket.Abort(clean, d.key, id); err == nil {
		err = e
	}
	if err != nil {
		d.found.failErr("multipart upload", err)
		return
	}
	d.found.ok("multipart upload", "permitted")
}
