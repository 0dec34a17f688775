//go:build linux && !race

package tests

// raceEnabled says that the tests run without the race detector.
const raceEnabled = false
