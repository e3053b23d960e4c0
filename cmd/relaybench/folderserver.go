package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"syscall"
	"time"

	"postrider/cmd/internal/app"
	"postrider/configs"
	"postrider/queue"
)

// relayCmd is the relay in a process of its own: what foldersCmd starts. Its
// configuration is in the environment; it ends with its standard input.
type relayCmd struct {
	NoFiling   bool   `help:"Leave folders as they are."`
	CPUProfile string `name:"cpu-profile" help:"Write a CPU profile of all of its life there." placeholder:"FILE"`
}

// relayAddrs is what it says on standard output when it is ready.
type relayAddrs struct {
	SMTP string `json:"smtp"`
	IMAP string `json:"imap"`
	TLS  string `json:"imap_tls"`
}

// Run serves until standard input ends.
func (cmd *relayCmd) Run(ctx context.Context, out output) error {
	cfg, problems := configs.Load(configs.LoadOptions{Environ: os.Environ()})
	if err := problems.Err(); err != nil {
		return err
	}
	if cmd.CPUProfile != "" {
		f, err := os.Create(cmd.CPUProfile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	a, err := app.New(ctx, app.Options{Config: cfg, Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil)), NoFiling: cmd.NoFiling})
	if err != nil {
		return err
	}
	if err := a.Start(ctx); err != nil {
		return errors.Join(err, a.Close())
	}
	imap := a.IMAPAddrs()
	err = writeJSON(out.json, relayAddrs{a.SubmissionAddrs()[0].String(), imap[0].String(), imap[1].String()})
	if err == nil {
		_, err = io.Copy(io.Discard, os.Stdin)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return errors.Join(err, a.Drain(ctx))
}

// relay is a relayCmd that was started.
type relay struct {
	relayAddrs
	cmd *exec.Cmd
	in  io.Closer
}

// environOf is the configuration of a relay with its data, and its log, in dir;
// settings come on top.
func (b *bench) environOf(dir string, settings map[string]string) (environ []string, err error) {
	cert, key, err := b.certificate()
	if err != nil {
		return nil, err
	}
	all := map[string]string{
		"POSTRIDER_DATA_DIR": dir, "POSTRIDER_HOSTNAME": "relay.example.com", "POSTRIDER_ACCOUNTS": benchAccount + ":" + benchPassword,
		"POSTRIDER_SUBMISSION_LISTEN": "127.0.0.1:0", "POSTRIDER_HTTP_LISTEN": "127.0.0.1:0", "POSTRIDER_POP3_LISTEN": "off",
		"POSTRIDER_IMAP_LISTEN": "127.0.0.1:0,tls://127.0.0.1:0", "POSTRIDER_TLS_CERT": cert, "POSTRIDER_TLS_KEY": key,
		"POSTRIDER_FOLDERS_LIMIT": "0", "POSTRIDER_FOLDERS_MAX_CONNECTIONS": "100000",
		"POSTRIDER_FOLDERS_MAX_CONNECTIONS_PER_ACCOUNT": "100000", "POSTRIDER_FOLDERS_MAX_CONNECTIONS_PER_ADDRESS": "100000",
		"POSTRIDER_DKIM_AUTOGENERATE": "false", "POSTRIDER_RATE_PER_HOUR": "0", "POSTRIDER_RATE_HOLD_FACTOR": "0",
		"POSTRIDER_MAX_CONNECTIONS": "100000", "POSTRIDER_MAX_CONNECTIONS_PER_ADDRESS": "100000", "POSTRIDER_DELIVERY_IPV6": "off",
	}
	for name, value := range settings {
		all[name] = value
	}
	for name, value := range all {
		environ = append(environ, name+"="+value)
	}
	return environ, nil
}

// withStore opens the store that a relay with this environment has, while none
// runs.
func withStore(ctx context.Context, environ []string, fn func(queue.Store) error) error {
	cfg, problems := configs.Load(configs.LoadOptions{Environ: environ})
	if err := problems.Err(); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o711); err != nil {
		return err
	}
	s, err := app.OpenStore(ctx, cfg, app.StoreOptions{Node: "relaybench", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return errors.Join(fn(s), s.Close())
}

// startRelay starts a relay and waits until it is ready. Its log, and its profile
// if one is wanted, have that name.
func (b *bench) startRelay(ctx context.Context, environ []string, name string, files bool) (*relay, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log := filepath.Join(b.dir, name+".log")
	to, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	r := &relay{cmd: exec.CommandContext(ctx, program, "relay")}
	if !files {
		r.cmd.Args = append(r.cmd.Args, "--no-filing")
	}
	if b.Profile {
		r.cmd.Args = append(r.cmd.Args, "--cpu-profile", filepath.Join(b.dir, name+".prof"))
	}
	r.cmd.Env, r.cmd.Stderr = append(environ, "PATH="+os.Getenv("PATH"), "TMPDIR="+os.TempDir()), to
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(bufio.NewReader(stdout)).Decode(&r.relayAddrs); err != nil {
		return nil, errors.Join(fmt.Errorf("the relay did not start, see %s: %w", log, err), r.stop())
	}
	return r, nil
}

// stop drains it.
func (r *relay) stop() error {
	_ = r.in.Close()
	return r.cmd.Wait()
}

func (r *relay) pid() int { return r.cmd.Process.Pid }

// prepareEmbedded fills a store of our own engine, or takes the one that is
// there.
func (b *bench) prepareEmbedded(ctx context.Context) (*imapServer, error) {
	dir := filepath.Join(b.dir, "embedded")
	environ, err := b.environOf(dir, nil)
	if err != nil {
		return nil, err
	}
	if _, ok := readFilled(dir, b.Messages); !ok {
		if err := emptyDir(dir); err != nil {
			return nil, err
		}
		if err := withStore(ctx, environ, func(s queue.Store) error { return b.fillStore(ctx, s, b.Messages) }); err != nil {
			return nil, err
		}
		if err := (filled{Version: fillVersion, Messages: b.Messages}).write(dir); err != nil {
			return nil, err
		}
	}
	b.say("%d messages and what the relay keeps beside: %d MB on disk", b.Messages, diskUse(dir)>>20)
	return b.served("postrider", environ, b.Messages), nil
}

// served is a relay as an imapServer.
func (b *bench) served(name string, environ []string, messages int) *imapServer {
	s := &imapServer{name: name, messages: messages, secure: true}
	var r *relay
	s.stop = func() {
		if r == nil {
			return
		}
		if err := r.stop(); err != nil {
			b.say("%s ended: %v", name, err)
		}
		r = nil
	}
	s.start = func(ctx context.Context) (err error) {
		s.stop()
		if r, err = b.startRelay(ctx, environ, name, false); err != nil {
			return err
		}
		s.addr, s.tlsAddr = r.IMAP, r.TLS
		return nil
	}
	s.memory = func() (int64, error) { return resident(r.pid()) }
	return s
}

// certificate is one that all servers of the bench have.
func (b *bench) certificate() (cert, key string, err error) {
	cert, key = filepath.Join(b.dir, "cert.pem"), filepath.Join(b.dir, "key.pem")
	if _, err := os.Stat(key); err == nil {
		return cert, key, nil
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	x := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		DNSNames: []string{"relay.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, x, x, k.Public(), k)
	if err != nil {
		return "", "", err
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return "", "", err
	}
	return cert, key, errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs}), 0o644),
	)
}

// freePort is one of the loopback that nobody uses at the moment.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// redisServer is a Redis of our own.
type redisServer struct {
	port int
	cmd  *exec.Cmd
}

// startRedis starts a durable one, with its data in dir.
func startRedis(ctx context.Context, dir string) (*redisServer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	r := &redisServer{port: port, cmd: exec.CommandContext(ctx, "redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction", "--hash-max-listpack-value", "1024")}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	for ready := false; !ready; {
		if !pause(ctx, 20*time.Millisecond) {
			return nil, errors.Join(ctx.Err(), r.cmd.Wait())
		}
		nc, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		_, _ = io.WriteString(nc, "PING\r\n")
		line, _ := bufio.NewReader(nc).ReadString('\n')
		ready = line == "+PONG\r\n"
		_ = nc.Close()
	}
	return r, nil
}

func (r *redisServer) stop() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	_ = r.cmd.Wait()
}

// prepareRedis fills a store in Redis, or takes the one that is there.
func (b *bench) prepareRedis(ctx context.Context, r *redisServer) (*imapServer, error) {
	dir := filepath.Join(b.dir, "redis-node")
	environ, err := b.environOf(dir, map[string]string{"POSTRIDER_STORE": fmt.Sprintf("redis://127.0.0.1:%d", r.port)})
	if err != nil {
		return nil, err
	}
	if _, ok := readFilled(dir, b.RedisMessages); !ok {
		if err := errors.Join(emptyDir(dir), r.flush()); err != nil {
			return nil, err
		}
		if err := withStore(ctx, environ, func(s queue.Store) error { return b.fillStore(ctx, s, b.RedisMessages) }); err != nil {
			return nil, err
		}
		if err := (filled{Version: fillVersion, Messages: b.RedisMessages}).write(dir); err != nil {
			return nil, err
		}
	}
	return b.served("postrider-redis", environ, b.RedisMessages), nil
}

// flush forgets all that is in it.
func (r *redisServer) flush() error {
	nc, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)))
	if err != nil {
		return err
	}
	defer nc.Close()
	if _, err := io.WriteString(nc, "FLUSHALL\r\n"); err != nil {
		return err
	}
	if line, err := bufio.NewReader(nc).ReadString('\n'); err != nil || line != "+OK\r\n" {
		return fmt.Errorf("empty Redis: %q: %w", line, err)
	}
	return nil
}
