package sendmail

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
)

// Invocation is one call of sendmail: what the process was given, and what
// the program around it supplies. Only Args and Stdin have no default.
type Invocation struct {
	// Args is the command line. Args[0] is the name it was called by: mailq
	// and newaliases are understood, everything else is sendmail.
	Args   []string
	Stdin  io.Reader
	Stdout io.Writer // nil discards
	Stderr io.Writer // nil discards
	// Environ holds NAME=value pairs; the last of a name counts.
	Environ []string
	// LookupUser names the calling user: login and full name, of which the
	// latter may be empty. nil asks the operating system.
	LookupUser func() (login, fullName string, err error)
	// Hostname names this host without asking DNS. nil is os.Hostname.
	Hostname func() (string, error)
	// Queue lists what the relay holds, for mailq and -bp. An error that is
	// fs.ErrPermission becomes exit code 77. nil means that the queue cannot
	// be read from here.
	Queue func(ctx context.Context) ([]QueueRow, error)
	// Version is printed for --version.
	Version  string
	Paths    Paths
	Timeouts Timeouts
	// RootCAs vouch for a relay spoken to with TLS; nil is the system's.
	RootCAs *x509.CertPool
}

// Paths is where a call without settings looks. The zero value is completed
// by DefaultPaths; a value with any field set is taken as it is.
type Paths struct {
	Settings  string   // the settings file
	MailName  string   // the file with this host's mail name
	Sockets   []string // the relay's sockets, best first
	OwnSocket string   // one more, used only if root or the caller owns it
	Address   string   // where to go when no socket answers
}

// DefaultPaths returns the places that the package documentation names.
func DefaultPaths() Paths {
	return Paths{
		Settings:  "/etc/postrider/sendmail.conf",
		MailName:  "/etc/mailname",
		Sockets:   []string{"/run/postrider/submit.sock", "/var/lib/postrider/submit.sock"},
		OwnSocket: "postrider-data/submit.sock",
		Address:   "localhost:2525",
	}
}

func (p Paths) isZero() bool {
	return p.Settings == "" && p.MailName == "" && len(p.Sockets) == 0 && p.OwnSocket == "" && p.Address == ""
}

func (inv Invocation) withDefaults() Invocation {
	if inv.Stdin == nil {
		inv.Stdin = strings.NewReader("")
	}
	if inv.Stdout == nil {
		inv.Stdout = io.Discard
	}
	if inv.Stderr == nil {
		inv.Stderr = io.Discard
	}
	if inv.LookupUser == nil {
		inv.LookupUser = currentUser
	}
	if inv.Hostname == nil {
		inv.Hostname = os.Hostname
	}
	if inv.Paths.isZero() {
		inv.Paths = DefaultPaths()
	}
	inv.Timeouts = inv.Timeouts.withDefaults()
	return inv
}

// currentUser asks the operating system. A uid without an entry, as
// containers have it, gets a name made of the number.
func currentUser() (login, fullName string, err error) {
	u, err := user.Current()
	if err != nil {
		return fmt.Sprintf("uid%d", os.Getuid()), "", nil
	}
	// The first part of the GECOS field, where "&" stands for the login name.
	fullName, _, _ = strings.Cut(u.Name, ",")
	return u.Username, strings.ReplaceAll(fullName, "&", u.Username), nil
}

// Run does what the command line asks for and returns the exit code. ctx
// bounds the talk with the relay up to the final dot, but cannot interrupt a
// read from Stdin: leave SIGTERM and SIGINT their default action, which ends
// the process, and with it a message that is not complete.
func Run(ctx context.Context, inv Invocation) int {
	inv = inv.withDefaults()
	o, err := parseArgs(inv.Args)
	for _, w := range o.warnings {
		inv.note("warning: %s", w)
	}
	if err == nil {
		err = inv.act(ctx, o)
	}
	if err != nil {
		inv.note("%v", err)
	}
	return exitCode(err)
}

// note writes one line to stderr.
func (inv Invocation) note(format string, args ...any) {
	fmt.Fprintf(inv.Stderr, "sendmail: %s\n", oneLine(fmt.Sprintf(format, args...)))
}

func (inv Invocation) act(ctx context.Context, o options) error {
	switch o.mode {
	case modeNothing:
		return nil
	case modeVersion:
		fmt.Fprintf(inv.Stdout, "postrider sendmail %s\n", inv.Version)
		return nil
	case modeHelp:
		fmt.Fprint(inv.Stdout, usage)
		return nil
	case modeQueue:
		return inv.listQueue(ctx)
	}
	set, err := inv.settings()
	if err != nil {
		return err
	}
	switch o.mode {
	case modeTunnel:
		return inv.tunnel(ctx, set)
	case modeVerify:
		return inv.verify(o, set)
	default:
		return inv.submit(ctx, o, set)
	}
}

// verify shows where mail to the arguments would go.
func (inv Invocation) verify(o options, set settings) error {
	if len(o.recipients) == 0 {
		return fail(exitUsage, "-bv needs an address")
	}
	found, bad := argumentRecipients(o.recipients)
	for _, a := range found {
		for _, to := range set.resolve(a) {
			fmt.Fprintf(inv.Stdout, "%s... deliverable: mailer relay, user %s\n", a, to)
		}
	}
	if len(bad) > 0 {
		return fail(exitData, "not an address: %q", bad)
	}
	return nil
}
