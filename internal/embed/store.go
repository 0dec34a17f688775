package embed

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend/meta"
	"golang.org/x/sys/unix"
)

const region = "us-east-1"

// store is the directory of a server: objects/ with a directory for each
// bucket, keys.json, and metadata/ where the file system has no attributes.
type store struct {
	AccessKey, SecretKey string

	objects string
	meta    meta.MetadataStorer
}

func openStore(dir string) (*store, error) {
	s := &store{}
	var err error
	if s.objects, err = absolute(dir, "objects"); err != nil {
		return nil, err
	}
	if err := s.loadKeys(filepath.Join(dir, "keys.json")); err != nil {
		return nil, err
	}
	s.meta, err = openMeta(dir, s.objects)
	return s, err
}

// openMeta keeps metadata in extended attributes, or in files beside the
// objects where there are none. What was begun goes on.
func openMeta(dir, objects string) (meta.MetadataStorer, error) {
	_, err := os.Stat(filepath.Join(dir, "metadata"))
	begun := err == nil
	if !begun && hasAttributes(objects) {
		return meta.XattrMeta{}, nil
	}
	path, err := absolute(dir, "metadata")
	if err != nil {
		return nil, err
	}
	return meta.NewSideCar(path)
}

func hasAttributes(path string) bool {
	const name = "user.s3mount.probe"
	if unix.Setxattr(path, name, make([]byte, 1024), 0) != nil {
		return false
	}
	return unix.Removexattr(path, name) == nil
}

// loadKeys reads the access keys, or invents them.
func (s *store) loadKeys(path string) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		s.AccessKey, s.SecretKey = "s3mount", rand.Text()
		if raw, err = json.Marshal(s); err != nil {
			return err
		}
		return os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, s); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// CreateBucket makes a bucket; one that exists is no error.
func (s *Server) CreateBucket(name string) error {
	api := awss3.New(awss3.Options{
		Region: region, BaseEndpoint: aws.String(s.Endpoint()), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
	})
	_, err := api.CreateBucket(context.Background(), &awss3.CreateBucketInput{Bucket: &name})
	var owned *types.BucketAlreadyOwnedByYou
	if err != nil && !errors.As(err, &owned) {
		return fmt.Errorf("create bucket %s: %w", name, err)
	}
	return nil
}
