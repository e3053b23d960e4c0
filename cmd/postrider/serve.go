package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"postrider/cmd/internal/app"
	"postrider/cmd/internal/demo"
	"postrider/cmd/internal/resident"
	"postrider/configs"
)

type serveCmd struct {
	configFlags
	Demo bool `help:"Run with a small simulated internet behind it, in a data directory that is thrown away."`
}

// drainTime is how long what is in the air may take to end at a stop. Container
// runtimes kill after ten seconds, and what is recorded last needs some of them.
const drainTime = 8 * time.Second

// exitTempFail is EX_TEMPFAIL: what failed may work the next time.
const exitTempFail = 75

// Run serves until SIGTERM or SIGINT, then drains; a second signal ends it at
// once.
func (c *serveCmd) Run(sh *shell) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)

	var world *demo.Demo
	var dir string
	if c.Demo {
		var err error
		if world, dir, err = c.startDemo(sh); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		defer world.Close()
	}
	sockets, err := app.InheritSockets(sh.getenv, os.Getpid())
	if err != nil {
		fmt.Fprintln(sh.stderr, "postrider:", err)
		return exitStatus(configs.ExitConfig)
	}
	defer sockets.Close()
	load := loadOptions(sh, c.Config, c.settings(world, dir))
	load.Sockets = sockets.Settings()
	cfg, problems := configs.Load(load)
	log := app.NewLogger(cfg.Log, sh.stdout)
	for _, p := range problems.Warnings() {
		if world != nil && p.Key == "delivery.allow_private_destinations" {
			continue // the demo's own doing
		}
		log.Warn("configuration", "key", p.Key, "source", p.Source, "problem", p.What, "fix", p.Fix)
	}
	for _, b := range cfg.Borrowed() {
		log.Info("setting taken from another image's name", "name", b.Name, "key", b.Key, "image", b.Image)
	}
	if err := problems.Err(); err != nil {
		for _, p := range problems.Failures() {
			fmt.Fprintln(sh.stderr, p)
		}
		return err
	}
	return c.serve(sh, app.Options{Config: cfg, Logger: log, Sockets: sockets}, world, signals)
}

// serve runs until a signal. Readiness ends first, then listening, then what is
// in the air.
func (c *serveCmd) serve(sh *shell, o app.Options, world *demo.Demo, signals <-chan os.Signal) error {
	ctx, log := context.Background(), o.Logger
	a, err := app.New(ctx, o)
	if refused := (*app.ConfigError)(nil); errors.As(err, &refused) {
		fmt.Fprintln(sh.stderr, refused)
		return exitStatus(configs.ExitConfig)
	}
	if err != nil {
		return startFailure(sh, err)
	}
	if err := a.Start(ctx); err != nil {
		return startFailure(sh, errors.Join(err, a.Close()))
	}
	c.greet(sh, a, o.Config, world)
	tell(sh, log, app.NotifyReady)
	got := await(signals)
	tell(sh, log, app.NotifyStopping)
	log.Info("stopping", "signal", got.String())
	go func() {
		got := <-signals
		log.Warn("stopped at once; nothing accepted is lost", "signal", got.String())
		os.Exit(128 + signalNumber(got))
	}()
	a.Retire(ctx)
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	if err := a.Drain(ctx); err != nil {
		// Everything accepted is durable: running out of time loses nothing.
		log.Warn("stopped before everything in the air had ended", "error", err)
	}
	log.Info("stopped")
	return nil
}

// startTime is how long the start may still be felt after it: first probes, first
// looks at DNS. askEvery is how often it is asked after that whether there is
// anything to do.
const (
	startTime = 3 * time.Second
	askEvery  = 10 * time.Second
)

// await waits for a signal. Meanwhile it gives back the memory that only the
// start needed, and later what a load has left behind.
func await(signals <-chan os.Signal) os.Signal {
	var quiet resident.Quiet
	started := time.NewTimer(startTime)
	defer started.Stop()
	again := time.NewTicker(askEvery)
	defer again.Stop()
	for {
		select {
		case got := <-signals:
			return got
		case <-started.C:
			resident.GiveBack()
		case <-again.C:
			if quiet.Look(resident.Used(), askEvery) {
				resident.GiveBack()
			}
		}
	}
}

// tell lets systemd know how far we are, where it wants to.
func tell(sh *shell, log *slog.Logger, state string) {
	if err := app.NotifySystemd(sh.getenv, state); err != nil {
		log.Warn("the service manager was not told", "error", err)
	}
}

func startFailure(sh *shell, err error) error {
	fmt.Fprintln(sh.stderr, "postrider:", err)
	return exitStatus(exitTempFail)
}

func signalNumber(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return int(n)
	}
	return 0
}

// greet prints what a person needs to send a first message. The password of a
// new account is shown here and never again.
func (c *serveCmd) greet(sh *shell, a *app.App, cfg *configs.Config, world *demo.Demo) {
	name, password, key, made := a.FirstAccount()
	if made {
		fmt.Fprintf(sh.stderr, "\nA first account was made. Its password and key are not shown again.\n  account:  %s\n  password: %s\n  API key:  %s\n\n", name, password, key)
	}
	if at := first(a.IMAPAddrs()); made && at != "" && world == nil {
		fmt.Fprintf(sh.stderr, "What becomes of mail is shown by any mail program: IMAP at %s, with that name and password.\n\n", at)
	}
	if world != nil {
		tour := demo.Tour{
			Submission: first(a.SubmissionAddrs()), HTTP: first(a.HTTPAddrs()), IMAP: first(a.IMAPAddrs()), Account: name, Password: password, Key: key,
			DataDir: cfg.DataDir, Program: sh.program,
		}
		if err := world.Tour(sh.stderr, tour); err != nil {
			fmt.Fprintln(sh.stderr, "postrider: the tour could not be printed:", err)
		}
	}
}

func first(addrs []net.Addr) string {
	if len(addrs) == 0 {
		return ""
	}
	return addrs[0].String()
}

// startDemo starts the simulated internet and makes the directory that goes
// with it.
func (c *serveCmd) startDemo(sh *shell) (*demo.Demo, string, error) {
	dir, err := os.MkdirTemp("", "postrider-demo-")
	if err != nil {
		return nil, "", fmt.Errorf("make a data directory for the demo: %w", err)
	}
	// sendmail run by other users must reach the socket inside.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, "", errors.Join(err, os.RemoveAll(dir))
	}
	world, err := demo.Start(context.Background(), demo.Options{InboxDir: demo.InboxDir(dir), Logger: slog.New(slog.NewTextHandler(sh.stdout, nil))})
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("start the simulated internet: %w", err), os.RemoveAll(dir))
	}
	return world, dir, nil
}

// settings are the flags, over which a demo lays its own world; the data
// directory and the look of the log may still be chosen.
func (c *serveCmd) settings(world *demo.Demo, dir string) map[string]string {
	set := c.flags()
	if world == nil {
		return set
	}
	for key, value := range map[string]string{"data_dir": dir, "log.format": "text"} {
		if _, chosen := set[key]; !chosen {
			set[key] = value
		}
	}
	maps.Copy(set, world.Settings())
	// Whatever the environment says: a real queue has no place in the demo.
	set["store"], set["store_durability"], set["content"] = "", "strict", ""
	set[configs.AliasesKey] = "off"
	return set
}
