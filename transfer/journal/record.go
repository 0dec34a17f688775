package journal

import (
	"crypto/rand"
	"encoding/hex"

	"s3mount/transfer/plan"
)

// Record is one content that was closed and is not in the bucket yet, or one
// object that is to be deleted.
type Record struct {
	ID  string `json:"id"`  // of the content, and of its spool file
	Seq uint64 `json:"seq"` // order in which operations were asked for
	Key string `json:"key"` // where it is to be published

	// A record without content deletes Delete and publishes nothing.
	NoContent bool `json:"no_content,omitempty"`
	// Open: the content is still being written, and only its upload is remembered.
	Open bool `json:"open,omitempty"`

	Extents []plan.Extent `json:"extents,omitempty"`
	// Base is the version that Base extents refer to; BaseID instead names an older
	// record that has to be published first.
	Base   *Object `json:"base,omitempty"`
	BaseID string  `json:"base_id,omitempty"`

	// Replaces is the ETag that the object at Key must have when this is published;
	// empty: there must be none.
	Replaces string   `json:"replaces,omitempty"`
	Delete   []Object `json:"delete,omitempty"` // objects to delete afterwards, while unchanged

	Meta Meta `json:"meta"`

	// Upload is the multipart upload that holds parts of the content already.
	Upload *Upload `json:"upload,omitempty"`
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

// Upload is a multipart upload that was created.
type Upload struct {
	Key string `json:"key"`
	ID  string `json:"id"`
}

// Meta is what a file carries besides its bytes.
type Meta struct {
	Mode    uint32            `json:"mode"` // with the file type, as in stat(2)
	UID     uint32            `json:"uid"`
	GID     uint32            `json:"gid"`
	MtimeNS int64             `json:"mtime_ns"` // nanoseconds since 1970
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
	Foreign            map[string]string `json:"foreign,omitempty"` // user metadata that is none of ours
}

// NewID is a random content or publication ID: 32 hex digits.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}
