//go:build linux

package tests

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// lateLimit is for how long what a killed process had asked for may look wrong: a server may
// carry out a request some time after its client has died, and the next process looks again 15 s
// after its start.
const lateLimit = 30 * time.Second

// check compares the bucket with what may be in it, and goes on from there.
func (k *killer) check(round int) {
	k.Helper()
	began := time.Now()
	for {
		content, wrong := k.look()
		if wrong == "" {
			k.goOn(content)
			break
		}
		if time.Since(began) > patient(lateLimit) {
			k.Error(wrong)
			return
		}
		k.Logf("round %d, after %v: %s", round, time.Since(began).Round(time.Millisecond), wrong)
		time.Sleep(time.Second)
	}
	k.checkUploads(round)
}

// look reads all that is in the bucket, and tells what is wrong with it.
func (k *killer) look() (content map[string][]byte, wrong string) {
	k.Helper()
	objects, err := k.mount.srv.list(k.mount.bucket, "")
	if err != nil {
		k.Fatal(err)
	}
	content = map[string][]byte{}
	for key := range objects {
		data, err := k.mount.srv.get(k.mount.bucket, key)
		if err != nil {
			return nil, fmt.Sprintf("object %s: %v", key, err)
		}
		if inMount, err := os.ReadFile(k.mount.path(key)); err != nil || !bytes.Equal(inMount, data) {
			return nil, fmt.Sprintf("%s in the mount differs from the object: %d bytes, the object has %d; %v", key, len(inMount), len(data), err)
		}
		content[key] = data
	}
	for _, w := range k.workers {
		mine := w.own(content)
		if !slices.ContainsFunc(w.allowed(), func(a map[string]fileState) bool { return maps.Equal(a, mine) }) {
			return nil, fmt.Sprintf("the bucket has %v\nof worker %s; it may have one of\n%v\nthe last operations:\n%s", mine, w.prefix, w.allowed(),
				strings.Join(w.trace[max(0, len(w.trace)-15):], "\n"))
		}
	}
	for key := range content {
		if !slices.ContainsFunc(k.workers, func(w *worker) bool { return strings.HasPrefix(key, w.prefix) }) {
			return nil, "an object that nobody made: " + key
		}
	}
	return content, ""
}

// own is the worker's files among those of the bucket.
func (w *worker) own(content map[string][]byte) map[string]fileState {
	mine := map[string]fileState{}
	for key, data := range content {
		if strings.HasPrefix(key, w.prefix) {
			mine[key] = stateOf(data)
		}
	}
	return mine
}

// goOn lets the workers begin with what the bucket has.
func (k *killer) goOn(content map[string][]byte) {
	for _, w := range k.workers {
		w.files, w.cut, w.bytes = w.own(content), nil, map[string][]byte{}
		for key := range w.files {
			w.bytes[key] = content[key]
		}
	}
}

// checkUploads wants few uploads left, and each in the list of the command.
func (k *killer) checkUploads(round int) {
	k.Helper()
	before := k.uploads()
	r := run(k.T, k.mount.srv.environ(k.T), patient(time.Minute), "uploads", "--endpoint", k.mount.srv.endpoint, "--json", k.mount.bucket)
	var listed any
	if r.code != 0 || json.Unmarshal([]byte(r.stdout), &listed) != nil {
		k.Fatalf("uploads: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	after := k.uploads()
	for id, key := range before {
		if after[id] != "" && !strings.Contains(r.stdout, id) { // there all the time
			k.Errorf("the upload %s of %s is not listed:\n%s", id, key, r.stdout)
		}
	}
	if most := (round + 1) * len(k.workers); len(after) > most { // one that a kill cut off before its ID was known
		k.Errorf("%d uploads are left after %d rounds", len(after), round+1)
	}
}

// uploads is the keys of the unfinished uploads, by ID. MinIO's list of all is one in memory,
// which a request that its client left in the middle does not always reach: the lists of the
// single keys, and the uploads themselves, are asked too.
func (k *killer) uploads() map[string]string {
	k.Helper()
	found := map[string]string{}
	prefixes := []string{""}
	for _, w := range k.workers {
		for c := range names {
			prefixes = append(prefixes, w.prefix+string(rune('a'+c)))
		}
	}
	for _, prefix := range prefixes {
		raw, _, err := k.mount.srv.call("GET", k.mount.bucket, "", url.Values{"uploads": {""}, "prefix": {prefix}}, nil)
		if err != nil {
			k.Fatal(err)
		}
		var left struct {
			Upload []struct{ Key, UploadId string }
		}
		if err := xml.Unmarshal(raw, &left); err != nil {
			k.Fatal(err)
		}
		for _, u := range left.Upload {
			if _, _, err := k.mount.srv.call("GET", k.mount.bucket, u.Key, url.Values{"uploadId": {u.UploadId}}, nil); err == nil {
				found[u.UploadId] = u.Key
			}
		}
	}
	return found
}
