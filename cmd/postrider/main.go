// Command postrider is an outbound SMTP relay with a delivery queue: the server,
// the sendmail(8) that local programs call, and the tools of its operator, in
// one binary.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"postrider/cmd/internal/command"
	"postrider/cmd/internal/sendmail"
	"postrider/configs"
)

func main() {
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// shell is what a subcommand may touch of the world.
type shell struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	program        string // how we were called, for commands we print
}

func (sh *shell) getenv(name string) string {
	for _, kv := range sh.environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// commandLine is the tree of subcommands; its tags are the one source of their
// documentation.
type commandLine struct {
	Serve    serveCmd    `cmd:"" help:"Run the relay."`
	Check    checkCmd    `cmd:"" help:"Load the configuration, report every problem, start nothing."`
	Sendmail sendmailCmd `cmd:"" help:"Submit a message from standard input, as sendmail(8) does (also when called by that name)."`
	Send     sendCmd     `cmd:"" help:"Send a message."`
	Queue    queueCmd    `cmd:"" help:"Look at the queue and change it."`
	Events   eventsCmd   `cmd:"" help:"Print what befell messages, and follow what does."`
	Stats    statsCmd    `cmd:"" help:"Count what became of mail."`
	Account  accountCmd  `cmd:"" help:"Administer the accounts that may send."`
	Key      keyCmd      `cmd:"" help:"Administer keys: credentials for programs, which can be narrowed and ended."`
	Domain   domainCmd   `cmd:"" help:"Sending domains: the records to publish, and whether they are."`
	Doctor   doctorCmd   `cmd:"" help:"Find what stops mail from here, with the record to publish or the step to take."`
	Stream   streamCmd   `cmd:"" help:"The kinds of mail that an account sends."`
	Webhook  webhookCmd  `cmd:"" help:"Addresses that are told of events."`

	Suppression suppressionCmd `cmd:"" help:"Addresses that are not sent to."`

	Store   storeCmd   `cmd:"" help:"Move, back up and restore a stopped queue."`
	Health  healthCmd  `cmd:"" help:"Exit 0 while the relay takes mail in: a probe for containers."`
	Version versionCmd `cmd:"" help:"Print what was built."`

	Reference referenceCmd `cmd:"" hidden:"" help:"Print the reference of configuration and commands as Markdown."`
}

// Exit statuses as sysexits.h has them.
const (
	exitUsage    = 64 // EX_USAGE
	exitSoftware = 70 // EX_SOFTWARE: a fault of ours
)

// exitStatus ends the program with a status of its own; its text, if any, was
// printed already.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	sh := &shell{stdin: stdin, stdout: stdout, stderr: stderr, environ: os.Environ(), program: args[0]}
	switch filepath.Base(args[0]) {
	case "sendmail", "mailq", "newaliases":
		return runSendmail(context.Background(), sh, args)
	}
	if len(args) > 1 && args[1] == "sendmail" {
		// Its flags are sendmail's own, not ours.
		return runSendmail(context.Background(), sh, args[1:])
	}
	return runCommand(args[1:], sh)
}

// parse finds the command that a line names, with its values.
func parse(args []string) (*command.Command, error) {
	root, err := command.New(&commandLine{}, "postrider",
		"An outbound SMTP relay with a delivery queue. Without any configuration, `postrider serve` runs on an embedded store in ./postrider-data.")
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	return root.Parse(args)
}

func runCommand(args []string, sh *shell) int {
	c, err := parse(args)
	switch {
	case errors.Is(err, command.ErrHelp):
		return statusOf(sh.stderr, c.WriteHelp(sh.stdout, command.Width(sh.stdout, sh.getenv("COLUMNS"))))
	case err != nil && c == nil:
		fmt.Fprintln(sh.stderr, "postrider:", err)
		return exitSoftware
	case err != nil:
		fmt.Fprintf(sh.stderr, "postrider: %v\nRun `postrider --help` for the commands, or `postrider COMMAND --help` for the flags of one.\n", err)
		return exitUsage
	}
	runner, ok := c.Target().(interface{ Run(sh *shell) error })
	if !ok {
		fmt.Fprintf(sh.stderr, "postrider: %s does nothing\n", c.Path())
		return exitSoftware
	}
	return statusOf(sh.stderr, runner.Run(sh))
}

func statusOf(stderr io.Writer, err error) int {
	var status exitStatus
	var invalid *configs.InvalidError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &invalid):
		return invalid.ExitCode()
	}
	fmt.Fprintln(stderr, "postrider:", err)
	return 1
}

type sendmailCmd struct {
	Args []string `arg:"" optional:"" help:"Flags and recipients, as sendmail(8) takes them."`
}

// Run is never reached: run sees to sendmail before flags are parsed.
func (sendmailCmd) Run(sh *shell) error {
	return exitStatus(runSendmail(context.Background(), sh, []string{"sendmail"}))
}

func runSendmail(ctx context.Context, sh *shell, args []string) int {
	return sendmail.Run(ctx, sendmail.Invocation{
		Args: args, Stdin: sh.stdin, Stdout: sh.stdout, Stderr: sh.stderr, Environ: sh.environ,
		Queue: mailq(sh), Version: version(),
	})
}
