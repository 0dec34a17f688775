package s3_test

import (
	"fmt"
	"slices"
	"testing"

	"s3mount/internal/s3"
)

// testDeleteAll removes many objects with one request, also such as are not there, have odd
// keys, or are the marker of a directory.
func testDeleteAll(t *testing.T, server backend, b *s3.Bucket) {
	keys := []string{"many/", "many/a b+c&d<e>", "many/é%20f"}
	for i := range 20 {
		keys = append(keys, fmt.Sprintf("many/dir/%02d", i))
	}
	for _, k := range keys {
		data := []byte(k)
		if k == "many/" {
			data = nil
		}
		put(t, b, k, data)
	}
	put(t, b, "many/stays", []byte("stays"))
	left, err := b.DeleteAll(t.Context(), append(keys, "many/nothing"))
	if err != nil {
		t.Fatal(err)
	}
	left = slices.DeleteFunc(left, func(k string) bool { return k == "many/" }) // some keep it while it is not empty
	if len(left) > 0 {
		t.Errorf("not removed: %q", left)
	}
	page, err := b.List(t.Context(), "many/", "", "", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	objects := slices.DeleteFunc(page.Objects, func(o s3.Object) bool { return o.Key == "many/" })
	if len(objects) != 1 || objects[0].Key != "many/stays" {
		t.Errorf("there are %+v", objects)
	}
}
