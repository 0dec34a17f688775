package main

import (
	"os"
	"path/filepath"
	"strconv"
)

// footage makes a video and a sound.
func (s *sources) footage(t *trial) error {
	if s.filmed {
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	if _, err := t.command("ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=25,noise=alls=60:allf=t",
		"-t", "3.2", "-c:v", "mpeg2video", "-qscale:v", "1", filepath.Join(s.dir, "video.mkv")); err != nil {
		return err
	}
	if _, err := t.command("ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", "anoisesrc=r=96000:c=white",
		"-t", "360", "-ac", "2", "-c:a", "pcm_s24le", filepath.Join(s.dir, "sound.wav")); err != nil {
		return err
	}
	s.filmed = true
	return nil
}

// film is about 2 GiB: the video again and again.
func (s *sources) film(t *trial) (string, error) {
	path := filepath.Join(s.dir, "film.mp4")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := s.footage(t); err != nil {
		return "", err
	}
	video := filepath.Join(s.dir, "video.mkv")
	st, err := os.Stat(video)
	if err != nil {
		return "", err
	}
	times := max(0, 2*gibibyte/st.Size()-1)
	part := path + ".part.mp4"
	if _, err := t.command("ffmpeg", "-v", "error", "-nostdin", "-y", "-stream_loop", strconv.FormatInt(times, 10), "-i", video, "-c", "copy", part); err != nil {
		return "", err
	}
	return path, os.Rename(part, path)
}
