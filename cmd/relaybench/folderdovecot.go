package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"postrider/queue/folders"
)

// dovecot is one of our own, which needs no rights: everybody who knows the
// password has the one mailbox.
type dovecot struct {
	dir     string
	conf    string
	owner   *user.User
	credent *syscall.Credential // nil: as ourselves
	port    int
	cmd     *exec.Cmd
}

const dovecotConf = `base_dir = %[1]s/run
state_dir = %[1]s/run
log_path = %[1]s/dovecot.log
instance_name = relaybench
protocols = imap
listen = 127.0.0.1
default_internal_user = %[2]s
default_internal_group = %[3]s
default_login_user = %[2]s
default_process_limit = 5000
default_client_limit = 20000
default_vsz_limit = 0
first_valid_uid = 1
first_valid_gid = 1
ssl = no
disable_plaintext_auth = no
mail_max_userip_connections = 0
mail_location = mdbox:%[1]s/mail
passdb {
  driver = static
  args = password=%[5]s
}
userdb {
  driver = static
  args = uid=%[2]s gid=%[3]s home=%[1]s/home
}
namespace inbox {
  inbox = yes
  separator = /
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
service imap-login {
  chroot =
  service_count = 0
  inet_listener imap {
    port = %[4]d
  }
  inet_listener imaps {
    port = 0
  }
}
`

// newDovecot configures one in a directory.
func newDovecot(dir string) (*dovecot, error) {
	d := &dovecot{dir: dir, conf: filepath.Join(dir, "dovecot.conf")}
	var err error
	if d.owner, err = user.Current(); err != nil {
		return nil, err
	}
	if d.owner.Uid == "0" { // which must not read mail
		if d.owner, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
		uid, err1 := strconv.ParseUint(d.owner.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(d.owner.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		d.credent = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	group, err := user.LookupGroupId(d.owner.Gid)
	if err != nil {
		return nil, err
	}
	if d.port, err = freePort(); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(dovecotConf, dir, d.owner.Username, group.Name, d.port, benchPassword)
	if err := os.WriteFile(d.conf, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	return d, d.own()
}

// own gives the directory to whom Dovecot runs as.
func (d *dovecot) own() error {
	if d.credent == nil {
		return nil
	}
	if err := os.Chmod(filepath.Dir(d.dir), 0o755); err != nil {
		return err
	}
	return filepath.WalkDir(d.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(d.credent.Uid), int(d.credent.Gid))
	})
}

func (d *dovecot) start(ctx context.Context) error {
	d.stop()
	d.cmd = exec.CommandContext(ctx, "dovecot", "-F", "-c", d.conf)
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: d.credent}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	for try := 0; ; try++ {
		c, err := dialIMAP(ctx, d.addr(), false, nil)
		if err == nil {
			c.close()
			return nil
		}
		if try == 200 || !pause(ctx, 50*time.Millisecond) {
			return fmt.Errorf("it does not answer, see %s: %w", filepath.Join(d.dir, "dovecot.log"), err)
		}
	}
}

func (d *dovecot) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(d.port)) }

func (d *dovecot) stop() {
	if d.cmd != nil {
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		_ = d.cmd.Wait()
		d.cmd = nil
	}
}

// memory is that of all its processes; what they share counts once.
func (d *dovecot) memory() (total int64, err error) {
	for _, pid := range append(childrenOf(d.cmd.Process.Pid), d.cmd.Process.Pid) {
		n, err := proportional(pid)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// prepareDovecot fills a mailbox, or takes the one that is there.
func (b *bench) prepareDovecot(ctx context.Context) (*imapServer, error) {
	dir := filepath.Join(b.dir, "dovecot")
	f, ok := readFilled(dir, b.Dovecot)
	if !ok {
		if err := emptyDir(dir); err != nil {
			return nil, err
		}
	}
	d, err := newDovecot(dir)
	if err != nil {
		return nil, err
	}
	s := &imapServer{name: "dovecot", messages: b.Dovecot, start: d.start, stop: d.stop, memory: d.memory, addr: d.addr(), processes: true}
	if ok {
		s.first = f.First
		return s, nil
	}
	if err := b.fillDovecot(ctx, s); err != nil {
		return nil, err
	}
	b.say("%d messages and Dovecot's index: %d MB on disk", b.Dovecot, diskUse(filepath.Join(dir, "mail"))>>20)
	// What it has not looked at before it has to read and keep.
	if s.first, err = firstTimes(ctx, s); err != nil {
		return nil, err
	}
	return s, filled{Version: fillVersion, Messages: b.Dovecot, First: s.first}.write(dir)
}

// appendBatch is how many messages one APPEND brings (RFC 3502).
const appendBatch = 500

// fillDovecot appends the messages that the relay's folder shows, with the fields
// that it puts in front.
func (b *bench) fillDovecot(ctx context.Context, s *imapServer) error {
	begin := time.Now()
	if err := s.start(ctx); err != nil {
		return err
	}
	c, err := s.login(ctx, false, nil)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.ok("CREATE " + folders.FolderSent); err != nil {
		return err
	}
	w := bufio.NewWriterSize(c.nc, 256<<10)
	for i := 0; i < b.Dovecot; {
		fmt.Fprintf(w, "a APPEND %s", folders.FolderSent)
		for end := min(i+appendBatch, b.Dovecot); i < end; i++ {
			m := mail{i, b.Dovecot}
			flags := `\Seen $Submitted`
			if m.unread() {
				flags = "$Submitted"
			}
			front, text := m.front(), m.text()
			fmt.Fprintf(w, " (%s) \"%s\" {%d+}\r\n", flags, m.at().Format("02-Jan-2006 15:04:05 -0700"), len(front)+len(text))
			_, _ = w.Write(front) // an error comes back with Flush
			_, _ = w.Write(text)
		}
		fmt.Fprint(w, "\r\n")
		if err := w.Flush(); err != nil {
			return err
		}
		if err := c.await("a OK"); err != nil {
			return err
		}
		if i%100_000 == 0 {
			b.say("%d of %d messages appended to Dovecot's folder", i, b.Dovecot)
		}
	}
	b.say("%d messages appended in %s", b.Dovecot, time.Since(begin).Round(time.Second))
	return ctx.Err()
}
