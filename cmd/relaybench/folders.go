package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

type foldersCmd struct {
	Parts         []string      `help:"What to measure: read, idle, redis, write." enum:"read,idle,redis,write" default:"read,idle,redis,write"`
	Messages      int           `help:"Messages in the folder." default:"1000000"`
	Dovecot       int           `help:"Messages in Dovecot's folder; -1: as many; 0: without Dovecot." default:"-1"`
	RedisMessages int           `help:"Messages in the folder that is kept in Redis." default:"100000"`
	Idle          int           `help:"Connections that wait in IDLE." default:"2000"`
	Settle        time.Duration `help:"How long to wait before memory is looked at." default:"10s"`
	Rounds        int           `help:"Rounds of the reading part, each with a fresh process." default:"5"`
	Repeat        int           `help:"How often each command is given in a round." default:"3"`
	WriteMessages int64         `help:"Messages of a round of the write part." default:"20000"`
	WriteRounds   int           `help:"Rounds of the write part." default:"5"`
	Dir           string        `help:"Directory for stores, logs and mailboxes. What an earlier run filled there is used again. Empty: a temporary one."`
	Profile       bool          `help:"Write CPU profiles of the relays into the directory."`
	JSON          bool          `name:"json" help:"Print the report as JSON as well."`
}

// Help is shown below the flags.
func (*foldersCmd) Help() string {
	return `Measures what mail programs see of the folders, and what the folders cost.

read   fills the folder Sent of one account and gives commands over real sockets, beside Dovecot's imapd (mdbox) if
       "dovecot" can be run: both in processes of their own, both with the same messages, in turn. The page cache is
       warm. A restarted process has its first SELECT timed, which is the cold one. Started by root, Dovecot runs as nobody.
idle   opens connections that log in, select the folder and IDLE, and looks at the memory of the process.
redis  is read with the store in a Redis of its own; needs "redis-server".
write  delivers mail end to end, in turn with and without the filing of folders.

The server is this program's own file with the packages that postrider is made of. In read, idle and redis nobody files
meanwhile: entries are written as filing writes them, but of messages that the store does not have, so that a million
takes minutes; their contents are those of a few real messages.`
}

// foldersReport is all that was measured.
type foldersReport struct {
	Messages        int         `json:"messages"`
	DovecotMessages int         `json:"dovecot_messages,omitempty"`
	RedisMessages   int         `json:"redis_messages,omitempty"`
	Read            []readRow   `json:"read,omitempty"`
	Idle            []idleRow   `json:"idle,omitempty"`
	Redis           []readRow   `json:"redis,omitempty"`
	Write           writeReport `json:"write,omitzero"`
}

func (cmd *foldersCmd) validate() error {
	if min(cmd.Messages, cmd.RedisMessages) < newest || cmd.Rounds < 1 || cmd.Repeat < 1 || cmd.WriteRounds < 1 || cmd.WriteMessages < 1 || cmd.Idle < 1 {
		return fmt.Errorf("at least %d messages, one round and one connection", newest)
	}
	if max(cmd.Messages, cmd.RedisMessages) > maxMail {
		return fmt.Errorf("at most %d messages", maxMail)
	}
	return nil
}

// Run measures the parts that were asked for.
func (cmd *foldersCmd) Run(ctx context.Context, out output) (err error) {
	if err := cmd.validate(); err != nil {
		return err
	}
	dir, remove, err := cmd.directory()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if cmd.Dovecot < 0 {
		cmd.Dovecot = cmd.Messages
	}
	b := &bench{foldersCmd: cmd, dir: dir, human: out.human}
	if err := b.measure(ctx); err != nil {
		return err
	}
	b.report.print(out.human)
	if cmd.JSON {
		return writeJSON(out.json, b.report)
	}
	return nil
}

func (cmd *foldersCmd) directory() (dir string, remove func() error, err error) {
	if cmd.Dir == "" {
		dir, err = os.MkdirTemp("", "relaybench")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	dir, err = filepath.Abs(cmd.Dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	return dir, func() error { return nil }, err
}

// bench is one run of foldersCmd.
type bench struct {
	*foldersCmd
	dir    string
	human  io.Writer
	report foldersReport
}

func (b *bench) wants(part string) bool { return slices.Contains(b.Parts, part) }

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.human, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

func (b *bench) measure(ctx context.Context) error {
	if b.wants("read") || b.wants("idle") {
		if err := b.embedded(ctx); err != nil {
			return fmt.Errorf("embedded store: %w", err)
		}
	}
	if b.wants("redis") {
		if err := b.redis(ctx); err != nil {
			return fmt.Errorf("store in Redis: %w", err)
		}
	}
	if b.wants("write") {
		if err := b.write(ctx); err != nil {
			return fmt.Errorf("write path: %w", err)
		}
	}
	return nil
}

// embedded measures reading, and idle connections, beside Dovecot.
func (b *bench) embedded(ctx context.Context) error {
	b.report.Messages = b.Messages
	ours, err := b.prepareEmbedded(ctx)
	if err != nil {
		return err
	}
	defer ours.stop()
	servers := []*imapServer{ours}
	if b.Dovecot > 0 {
		theirs, err := b.prepareDovecot(ctx)
		if err != nil {
			return fmt.Errorf("dovecot: %w", err)
		}
		defer theirs.stop()
		servers = append(servers, theirs)
		b.report.DovecotMessages = b.Dovecot
	}
	if b.wants("read") {
		if err := b.readInTurn(ctx, servers); err != nil {
			return err
		}
		b.report.Read = rowsOf(servers)
	}
	if b.wants("idle") {
		return b.idle(ctx, servers)
	}
	return nil
}

// redis measures reading with the store in Redis.
func (b *bench) redis(ctx context.Context) error {
	b.report.RedisMessages = b.RedisMessages
	r, err := startRedis(ctx, filepath.Join(b.dir, "redis"))
	if err != nil {
		return err
	}
	defer r.stop()
	s, err := b.prepareRedis(ctx, r)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := b.readInTurn(ctx, []*imapServer{s}); err != nil {
		return err
	}
	b.report.Redis = rowsOf([]*imapServer{s})
	return nil
}
