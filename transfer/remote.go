package transfer

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"s3mount/cache"
	"s3mount/internal/s3"
)

// ErrStale: the object that is being read was changed or removed. It wraps the answer
// of the bucket. Bytes of two versions are never mixed.
var ErrStale = errors.New("object changed while it was being read")

// datedAge is how long ago a version must have been written, of which the server gives no
// ETag, to be told from the next by its date: that has whole seconds, and clocks differ.
const datedAge = 10 * time.Second

// Remote is one version of one object that is being read. A server-side rename moves it
// (Relocate); the content ID stays, and with it what is cached.
type Remote struct {
	id    cache.ContentID
	check contentCheck
	mu    struct {
		sync.Mutex
		object   s3.Object
		archived bool
	}
}

// NewRemote pins version o of an object, whose bytes are cached under id.
func NewRemote(id cache.ContentID, o s3.Object) *Remote {
	r := &Remote{id: id}
	r.mu.object = o
	r.mu.archived = o.Archived
	return r
}

// ContentIDOf is the content ID of a version of an object: a hash of key, size and ETag,
// which some answers give with quotes and some without. A version that cannot be told from
// others, since it has no ETag, or was written a moment ago and has its date for one, gets a
// random ID, under which nothing is found again.
func ContentIDOf(o s3.Object) (id cache.ContentID) {
	etag := strings.Trim(strings.TrimPrefix(o.ETag, "W/"), `"`)
	if etag == "" || s3.Dated(o.ETag) && time.Since(o.LastModified) < datedAge {
		rand.Read(id[:]) // never fails, see crypto/rand
		return id
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s%d:%s", len(o.Key), o.Key, o.Size, etag)
	copy(id[:], h.Sum(nil))
	return id
}

// Object is where the bytes are now.
func (r *Remote) Object() s3.Object {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.object
}

// Relocate says that the same bytes are now at o. Requests that are under way and fail
// go on there.
func (r *Remote) Relocate(o s3.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.object = o
	r.mu.archived = o.Archived
}

// learn notes the ID of the version that an answer about o was of: by that it can be read on
// when the object is replaced. A listing does not tell it.
func (r *Remote) learn(o s3.Object, versionID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := &r.mu.object; now.VersionID == "" && now.Key == o.Key && now.ETag == o.ETag && o.ETag != "" {
		now.VersionID = versionID
	}
}

// moved tells whether the object is no longer at o.
func (r *Remote) moved(o s3.Object) bool {
	now := r.Object()
	return now.Key != o.Key || now.ETag != o.ETag || now.VersionID != o.VersionID
}

// archivedNow tells whether the object must be restored before it is read.
func (r *Remote) archivedNow() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.archived
}

// markArchived notes what the bucket answered.
func (r *Remote) markArchived() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.archived = true
}

// readerTail is how many bytes of the end players want with the head of such a file:
// the index of MP4 and MOV, the footer of MXF, the cues of Matroska. It grows with the
// length of the clip.
func readerTail(o s3.Object) int64 {
	const least, most, part = 256 << 10, 1 << 20, 4096
	switch strings.ToLower(path.Ext(o.Key)) {
	case ".mp4", ".mov", ".m4v", ".m4a", ".3gp", ".mxf", ".mkv", ".webm", ".avi", ".braw", ".r3d", ".crm", ".insv":
		return min(max(o.Size/part, least), most)
	}
	return 0
}
