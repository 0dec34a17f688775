package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRecipesParse: command lines and lines of fstab that the pages show are understood.
func TestRecipesParse(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			shown, ok := strings.CutPrefix(line, "    ")
			if !ok || strings.Contains(line, "$(") { // what a shell puts there is not known
				continue
			}
			shown, _, _ = strings.Cut(strings.TrimSpace(shown), " #")
			words := strings.Fields(shown)
			switch {
			case strings.HasPrefix(shown, "s3mount mount "):
				_, err = parse(t, words[2:]...)
			case strings.HasPrefix(shown, "mount -t fuse.s3mount "):
				_, err = mountArgs(words[3], words[4], words[len(words)-1], false)
			case strings.Contains(shown, " fuse.s3mount "):
				_, err = mountArgs(words[0], words[1], words[3], false)
			default:
				continue
			}
			found++
			if err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(page), shown, err)
			}
		}
	}
	if found < 12 {
		t.Errorf("%d lines found, the pages have more", found)
	}
}
