package fs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckMountpoint(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path string
		want       error
	}{
		{"missing", filepath.Join(dir, "absent"), ErrMountpointMissing},
		{"missing parent", filepath.Join(dir, "absent", "sub"), ErrMountpointMissing},
		{"file", file, ErrNotDirectory},
		{"below a file", filepath.Join(file, "sub"), ErrNotDirectory},
		{"not empty", dir, ErrNotEmpty},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Check(Options{Mountpoint: tt.path})
			if !errors.Is(err, tt.want) {
				t.Fatalf("Check = %v, want %v", err, tt.want)
			}
			var me *MountError
			if !errors.As(err, &me) || me.Remedy() == "" || strings.Contains(err.Error(), "\n") {
				t.Errorf("Check = %q, want one line with a remedy", err)
			}
		})
	}
}
