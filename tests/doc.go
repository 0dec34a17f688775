// Package tests proves the product from outside: the real binary, real mounts,
// real clients, and two real S3 servers (the embedded versitygw and MinIO).
// What the bucket holds is checked by a small S3 client of its own, so that a
// mistake in the product's client cannot hide itself.
//
// It never imports the packages it tests, except internal/embed for a server.
//
// LONG=1 runs the large variants; SEED=n repeats a random test.
package tests
