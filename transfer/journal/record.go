package journal

import (
	"crypto/rand"
	"encoding/hex"
	"strings"

	"s3mount/transfer/plan"
)

// Record is one content that was closed and is not in the bucket yet, or one
// object that is to be deleted.
type Record struct {
	ID  string `json:"id"`  // of the content, and of its spool file
	Seq uint64 `json:"seq"` // order in which operations were asked for
	Key string `json:"key"` // where it is to be published

	// A record without content aborts Upload, deletes Delete, and publishes nothing.
	NoContent bool `json:"no_content,omitempty"`
	// Late: the deletion was carried out; Delete is what requests without an answer may still make.
	Late bool `json:"late,omitempty"`
	// Rename is the rename of a directory that is not complete; nil: none.
	Rename *Rename `json:"rename,omitempty"`
	// Open: the content is still being written, and only its upload is remembered.
	Open bool `json:"open,omitempty"`

	Extents []plan.Extent `json:"extents,omitempty"`
	// Sums are those of the data; nil: there are none, since the bytes were to change.
	Sums *Sums `json:"sums,omitempty"`
	// Base is the version that Base extents refer to; BaseID instead names an older
	// record that has to be published first.
	Base   *Object `json:"base,omitempty"`
	BaseID string  `json:"base_id,omitempty"`

	// Merging is the record whose changes are being written into this one's spool file:
	// until that is done, the file holds neither version, and nothing publishes it.
	Merging string `json:"merging,omitempty"`

	// Replaces is the ETag that the object at Key must have when this is published;
	// empty: there must be none.
	Replaces string   `json:"replaces,omitempty"`
	Delete   []Object `json:"delete,omitempty"` // objects to delete afterwards, while unchanged

	Meta Meta `json:"meta"`

	// Creating is a key at which an upload was being created whose ID is not known: the
	// intent before the act. A record without content keeps it until no upload is left
	// there.
	Creating string `json:"creating,omitempty"`
	// Upload is the multipart upload that holds parts of the content already.
	Upload *Upload `json:"upload,omitempty"`
	// Done is an object that has the content's bytes already, but another name or
	// other metadata.
	Done *Object `json:"done,omitempty"`
	// Publication is the random ID that the object carries, so that it is known again
	// after an answer was lost.
	Publication string `json:"publication"`
}

// Object is one version of an object.
type Object struct {
	Key       string `json:"key"`
	ETag      string `json:"etag"` // empty: the version that carries Publication
	VersionID string `json:"version_id,omitempty"`
	Size      int64  `json:"size"`

	Publication string `json:"publication,omitempty"`
}

// Upload is a multipart upload that was created. Without Meta it can only be given
// up: records of older versions do not say how it was begun.
type Upload struct {
	Key string `json:"key"`
	ID  string `json:"id"`

	Meta     *Meta  `json:"meta,omitempty"`      // what it was created with
	Replaces string `json:"replaces,omitempty"`  // ETag of what was at Key then; empty: nothing
	PartSize int64  `json:"part_size,omitempty"` // fixed size of parts; 0: growing
	Hint     int64  `json:"size_hint,omitempty"` // announced size of the file, which growing parts follow
	// Pieces is the plan of an edit; without one the parts are those of the layout.
	Pieces []plan.Piece `json:"pieces,omitempty"`
}

// Rename gives every key below From the same name below To. Both end with a slash.
type Rename struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Objects are those to copy; each is deleted when its copy is there.
	Objects []Object `json:"objects,omitempty"`
	// Undo are those that stay, since an unpublished file builds on them: their copies
	// are deleted.
	Undo []Object `json:"undo,omitempty"`
}

// NewKey is the new name of a key below From.
func (r *Rename) NewKey(key string) string { return r.To + strings.TrimPrefix(key, r.From) }

// Meta is what a file carries besides its bytes.
type Meta struct {
	Mode    uint32            `json:"mode"` // with the file type, as in stat(2)
	UID     uint32            `json:"uid"`
	GID     uint32            `json:"gid"`
	MtimeNS int64             `json:"mtime_ns"`           // nanoseconds since 1970
	AtimeNS int64             `json:"atime_ns,omitempty"` // when somebody set it; 0: as MtimeNS
	CtimeNS int64             `json:"ctime_ns,omitempty"` // of a change that was none of the bytes; 0: as MtimeNS
	Xattrs  map[string][]byte `json:"xattrs,omitempty"`

	// What other clients gave the object; it is carried over when the object is
	// written anew. An empty ContentType means: by the extension of the name.
	ContentType        string            `json:"content_type,omitempty"`
	CacheControl       string            `json:"cache_control,omitempty"`
	ContentDisposition string            `json:"content_disposition,omitempty"`
	ContentEncoding    string            `json:"content_encoding,omitempty"`
	ContentLanguage    string            `json:"content_language,omitempty"`
	Expires            string            `json:"expires,omitempty"`
	StorageClass       string            `json:"storage_class,omitempty"`
	SSE                string            `json:"sse,omitempty"`         // how the server encrypted it
	SSEKMSKey          string            `json:"sse_kms_key,omitempty"` // with which key
	BucketKey          bool              `json:"bucket_key,omitempty"`
	TagCount           int               `json:"tag_count,omitempty"` // the tags are asked for when they are written
	Foreign            map[string]string `json:"foreign,omitempty"`   // user metadata that is none of ours
}

// NewID is a random content or publication ID: 32 hex digits.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}
