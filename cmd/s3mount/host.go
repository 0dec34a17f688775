package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	mountfs "s3mount/fs"
)

// host runs one mount in this process, from start to the last upload.
type host struct {
	cfg          mountConfig
	std          streams
	log          *logger
	drainTimeout time.Duration
	debugListen  string // address for profiles, "": none
	notify       *notifier
}

func (c *mountCmd) host(cfg mountConfig, std streams, log *logger) *host {
	h := &host{cfg: cfg, std: std, log: log, drainTimeout: c.DrainTimeout, debugListen: c.DebugListen, notify: &notifier{}}
	if c.Foreground {
		h.notify = newNotifier()
	}
	return h
}

// run mounts, calls ready when the mount answers, and returns when the mount
// is gone and drained. The first signal unmounts, a second one ends the wait.
func (h *host) run(ctx context.Context, ready func()) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	defer hangUp(signals)()

	if h.debugListen != "" {
		stop, err := profiles(h.debugListen)
		if err != nil {
			return err
		}
		defer stop()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var ctl *control
	forget := func() {}
	s, err := h.start(ctx, cancel, signals, func(s *session) { ctl, forget = h.register(s) })
	defer func() { forget() }()
	if err != nil {
		if ctl != nil {
			ctl.finish(outcome{Error: oneLine(explain(err))})
		}
		return err
	}
	h.log.release()
	h.log.Info("mounted", "bucket", h.cfg.target().String(), "mountpoint", h.cfg.Mountpoint, "version", buildVersion())
	ready()
	h.notify.ready(h.cfg.target().String() + " is mounted at " + h.cfg.Mountpoint)
	return h.attend(ctx, s, ctl, signals)
}

// hangUp passes on that the terminal was closed, once: shell and kernel both say so, and the second
// must not end the wait for uploads. Where it is ignored (nohup) it stays so.
func hangUp(signals chan<- os.Signal) (stop func()) {
	if signal.Ignored(syscall.SIGHUP) {
		return func() {}
	}
	hups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hups, syscall.SIGHUP)
	go func() {
		select {
		case s := <-hups:
			signals <- s
		case <-done:
		}
	}()
	return func() {
		signal.Stop(hups)
		close(done)
	}
}

// start mounts; register is called before anybody can see the mount. A signal
// meanwhile cancels and gives up.
func (h *host) start(ctx context.Context, cancel func(), signals <-chan os.Signal, register func(*session)) (*session, error) {
	type result struct {
		s   *session
		err error
	}
	started := make(chan result, 1)
	go func() {
		s, err := start(ctx, h.cfg, h.log.Logger, register)
		started <- result{s, err}
	}()
	select {
	case r := <-started:
		return r.s, r.err
	case sig := <-signals:
		cancel()
		if r := <-started; r.err == nil {
			_ = mountfs.Detach(h.cfg.Mountpoint)
			_ = r.s.Close()
		}
		return nil, &problem{cause: fmt.Sprintf("stopped by a signal (%v) before the mount was made", sig), remedy: "run it again"}
	}
}

// register makes the mount known to the other commands. A mount that they cannot
// find is a mount all the same.
func (h *host) register(s *session) (*control, func()) {
	ctl, forget, err := h.listen(s)
	if err != nil {
		h.log.Warn("status, wait and umount will not find this mount", "err", err)
		return nil, func() {}
	}
	return ctl, forget
}

func (h *host) listen(s *session) (*control, func(), error) {
	reg, err := openRegistry(registryDir(os.Getuid()))
	if err != nil {
		return nil, nil, err
	}
	mountpoint, err := absolute(h.cfg.Mountpoint)
	if err != nil {
		return nil, nil, err
	}
	rec := record{
		Mountpoint: mountpoint, Bucket: h.cfg.Bucket, Prefix: h.cfg.Prefix, Endpoint: safeURL(h.cfg.S3.Endpoint), CacheDir: h.cfg.CacheDir,
		PID: os.Getpid(), Socket: reg.base(mountpoint, os.Getpid()) + ".sock", Started: time.Now().UTC().Truncate(time.Second), Version: buildVersion(),
	}
	ctl, err := listenControl(rec, s)
	if err != nil {
		return nil, nil, err
	}
	if err := reg.add(rec); err != nil {
		ctl.finish(outcome{Error: err.Error()})
		return nil, nil, err
	}
	return ctl, func() { reg.remove(rec) }, nil
}

// attend waits for the end of the mount, drains, and closes.
func (h *host) attend(ctx context.Context, s *session, ctl *control, signals <-chan os.Signal) error {
	served := make(chan error, 1)
	serveCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { served <- s.Serve(serveCtx) }()

	stop := newStopper(h.drainTimeout)
	defer stop.cancel()
	stopping := sync.OnceValue(func() func() { return h.notify.stopping("unmounting") })
	defer func() { stopping()() }()
	var err error
	for waiting := true; waiting; {
		select {
		case err = <-served:
			waiting = false
		case sig := <-signals:
			stopping()
			if !stop.signal() {
				h.unmount(sig)
			}
		case <-stop.ctx.Done():
			cancel()
			if err = <-served; !isOurMount(h.cfg.Mountpoint) {
				err = nil // detached by the first signal, there was nothing left to unmount
			}
			waiting = false
		}
	}
	stopping()
	left, drainErr := h.drain(s, ctl, stop, signals)
	err = errors.Join(err, drainErr, s.Close())
	if ctl != nil {
		o := outcome{FilesLeft: left.FilesLeft, BytesLeft: left.BytesLeft}
		if err != nil {
			o.Error = oneLine(explain(err))
		}
		ctl.finish(o)
	}
	h.log.Info("ended", "mountpoint", h.cfg.Mountpoint, "files_left", left.FilesLeft, "bytes_left", left.BytesLeft)
	return err
}

// unmount makes no new work possible. Files that are open stay usable until
// they are closed.
func (h *host) unmount(sig os.Signal) {
	h.log.Info("unmounting", "signal", sig.String())
	err := unmount(h.cfg.Mountpoint)
	if errors.Is(err, syscall.EBUSY) {
		fmt.Fprintf(h.std.err, "s3mount: files are still open in %s; waiting for them to be closed, a second signal stops\n", h.cfg.Mountpoint)
		err = mountfs.Detach(h.cfg.Mountpoint)
	}
	if err != nil {
		h.log.Error("cannot unmount", "err", err)
	}
}
