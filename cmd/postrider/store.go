package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os/signal"
	"syscall"
	"time"

	"postrider/cmd/internal/app"
	"postrider/configs"
	"postrider/queue"
	"postrider/queue/archive"
)

type storeCmd struct {
	Copy    storeCopyCmd    `cmd:"" help:"Move a stopped queue to another store: between directories and Redis. May be interrupted and repeated."`
	Backup  storeBackupCmd  `cmd:"" help:"Write a stopped queue to one file. May be interrupted and repeated."`
	Restore storeRestoreCmd `cmd:"" help:"Read a file of backup into an empty store. May be interrupted and repeated."`
}

// storeFlags say how stores are opened.
type storeFlags struct {
	Config string `placeholder:"FILE" help:"Configuration file (or POSTRIDER_CONFIG)."`
}

func (f *storeFlags) load(sh *shell) (*configs.Config, error) {
	cfg, problems := configs.Load(loadOptions(sh, f.Config, nil))
	for _, p := range problems.Failures() {
		fmt.Fprintln(sh.stderr, p)
	}
	return cfg, problems.Err()
}

type storeCopyCmd struct {
	storeFlags
	From string `arg:"" help:"Where the queue is: the data directory of a relay, or the URL of its store in Redis."`
	To   string `arg:"" help:"Where it shall be: a directory, or a URL, that holds no mail."`
}

// Run copies.
func (c *storeCopyCmd) Run(sh *shell) error {
	return c.storeFlags.run(sh, func(ctx context.Context, m *mover) error {
		from, err := m.open(ctx, c.From, true)
		if err != nil {
			return err
		}
		to, err := m.open(ctx, c.To, false)
		if err != nil {
			return err
		}
		sum, err := m.copy(ctx, from, from.Name, archive.Into(to), to.Name)
		if err != nil {
			return err
		}
		fmt.Fprintf(sh.stdout, "Copied %s to %s: %s.\nStart the relay on %s only: what is queued is in both now.\n", from.Name, to.Name, summaryText(sum), to.Name)
		return nil
	})
}

type storeBackupCmd struct {
	storeFlags
	File string `arg:"" help:"The file to write; it must not be there."`
	From string `placeholder:"STORE" help:"Directory or URL of the queue; by default the configuration's."`
}

// Run writes a file.
func (c *storeBackupCmd) Run(sh *shell) error {
	return c.storeFlags.run(sh, func(ctx context.Context, m *mover) error {
		from, err := m.open(ctx, c.From, true)
		if err != nil {
			return err
		}
		file, err := archive.Create(c.File, from.Name, time.Now())
		if err != nil {
			return err
		}
		m.close = append(m.close, file.Close)
		sum, err := m.copy(ctx, from, from.Name, file, c.File)
		if err != nil {
			return err
		}
		fmt.Fprintf(sh.stdout, "Wrote %s to %s: %s.\nKeep it safe: it holds mail, keys and password digests.\n", from.Name, c.File, summaryText(sum))
		return nil
	})
}

type storeRestoreCmd struct {
	storeFlags
	File string `arg:"" help:"A file that backup wrote."`
	To   string `placeholder:"STORE" help:"Directory or URL of a store that holds no mail; by default the configuration's."`
}

// Run reads a file.
func (c *storeRestoreCmd) Run(sh *shell) error {
	return c.storeFlags.run(sh, func(ctx context.Context, m *mover) error {
		file, err := archive.Open(c.File)
		if err != nil {
			return explainFile(err)
		}
		m.close = append(m.close, file.Close)
		if err := m.check(ctx, file); err != nil {
			return err
		}
		to, err := m.open(ctx, c.To, false)
		if err != nil {
			return err
		}
		// It is the same one wherever it lies.
		name := "the backup with digest " + file.Summary().Digest[:min(16, len(file.Summary().Digest))]
		sum, err := m.copy(ctx, file, name, archive.Into(to), to.Name)
		if err != nil {
			return err
		}
		fmt.Fprintf(sh.stdout, "Restored %s into %s: %s.\nWhat was delivered since the backup was made is sent again when the relay starts.\n", c.File, to.Name, summaryText(sum))
		return nil
	})
}

// mover is one command that moves a queue.
type mover struct {
	sh    *shell
	cfg   *configs.Config
	close []func() error
}

func (f *storeFlags) run(sh *shell, move func(ctx context.Context, m *mover) error) (err error) {
	cfg, err := f.load(sh)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second one ends it at once, which does no harm either
	m := &mover{sh: sh, cfg: cfg}
	defer func() {
		for i := len(m.close) - 1; i >= 0; i-- {
			err = errors.Join(err, m.close[i]())
		}
	}()
	return move(ctx, m)
}

// open opens a store that nobody uses.
func (m *mover) open(ctx context.Context, where string, there bool) (*app.Archive, error) {
	log := slog.New(slog.NewTextHandler(m.sh.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	a, err := app.OpenArchive(ctx, m.cfg, where, there, log)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w\nRun this command as the relay's own user, so that the files are its own", err)
	}
	if err != nil {
		return nil, err
	}
	m.close = append(m.close, a.Close)
	return a, nil
}

// check reads a file before anything is made of it.
func (m *mover) check(ctx context.Context, file *archive.Reader) error {
	bar := newProgressBar(m.sh.stderr)
	err := file.Check(ctx, bar.show)
	bar.end()
	if ctx.Err() != nil {
		fmt.Fprintln(m.sh.stderr, "Interrupted; nothing was changed.")
		return exitStatus(128 + int(syscall.SIGINT))
	}
	return explainFile(err)
}

// explainFile adds what to do about a file that is no good.
func explainFile(err error) error {
	if errors.Is(err, archive.ErrDamaged) {
		return fmt.Errorf("%w\nUse another copy of the file; nothing was changed", err)
	}
	return err
}

func (m *mover) copy(ctx context.Context, from archive.Source, fromName string, to archive.Target, toName string) (archive.Summary, error) {
	bar := newProgressBar(m.sh.stderr)
	sum, err := archive.Copy(ctx, from, to, archive.Options{From: fromName, Progress: bar.show})
	bar.end()
	if err == nil {
		return sum, nil
	}
	if ctx.Err() != nil {
		fmt.Fprintf(m.sh.stderr, "Interrupted; nothing is lost. Run the same command again: it goes on where it was.\nUntil it is finished, %s is not complete and must not be used.\n", toName)
		return sum, exitStatus(128 + int(syscall.SIGINT))
	}
	return sum, explainCopy(err, toName)
}

// explainCopy adds what to do.
func explainCopy(err error, to string) error {
	advice := "Run the same command again when that is mended: it goes on where it was"
	switch {
	case errors.Is(err, archive.ErrNotEmpty):
		advice = "Name another directory, or another database or prefix of Redis; nothing was changed"
	case errors.Is(err, archive.ErrOther):
		advice = "Finish that copy first, or name another target"
	case errors.Is(err, archive.ErrChanged):
		advice = "A relay was started on it. Empty " + to + " and begin again"
	case errors.Is(err, archive.ErrUnfinished):
		advice = "Finish the copy that it was to become, from where that came from"
	case errors.Is(err, archive.ErrDiffers):
		advice = "Keep the source, empty " + to + ", begin again, and report this"
	case errors.Is(err, queue.ErrExists):
		advice = "A relay was started on " + to + " and has made something of its own. Begin again with an empty one"
	case errors.Is(err, queue.ErrFull), errors.Is(err, syscall.ENOSPC):
		advice = "Make room, then run the same command again: it goes on where it was"
	}
	return fmt.Errorf("%w\n%s", err, advice)
}

func summaryText(s archive.Summary) string {
	return fmt.Sprintf("%s messages with %s recipients, %s of content, %s events, %s records and %s keys; both sides compared, SHA-256 sum %s",
		grouped(s.Messages), grouped(s.Recipients), byteText(s.Bytes), grouped(s.Events), grouped(s.Records), grouped(s.Keys), s.Digest)
}
