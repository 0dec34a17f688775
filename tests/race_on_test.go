//go:build linux && race

package tests

// raceEnabled says that the tests, and so the binary under test, run with the
// race detector: several times the memory and the time.
const raceEnabled = true
