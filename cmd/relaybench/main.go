// Command relaybench loads an SMTP relay from one side and counts what comes
// out at the other, recipient by recipient.
//
// Each recipient has a number, in an address like r42@sink.test, that is
// submitted again only if it is certain that nobody took it. So every number
// acknowledged to the source must arrive at the sink: what does not is lost,
// what arrives again is a duplicate of the relay's making. The relay under
// test is started by whoever runs this, with all mail routed to the sink.
//
//	relaybench sink --listen 127.0.0.1:2526 --expect 10000
//	relaybench source --relay 127.0.0.1:2525 --messages 10000 --acked acked.txt
//	relaybench run --relay 127.0.0.1:2525 --messages 10000 --json
//	relaybench run --direct --messages 10000
//	relaybench compare --relay ours=127.0.0.1:2525 --relay theirs=127.0.0.1:25
//	relaybench folders --dir /var/tmp/folders
//	relaybench sizes
//	relaybench report --acked acked.txt --received received.txt
//
// Summaries for people go to standard error, JSON to standard output. The
// exit code is 1 if an acknowledged recipient was lost.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"postrider/cmd/internal/command"
)

type cli struct {
	Source  sourceCmd  `cmd:"" help:"Send numbered mail to a relay."`
	Sink    sinkCmd    `cmd:"" help:"Take mail and count what arrives."`
	Run     runCmd     `cmd:"" help:"Source and sink around one relay, in one report."`
	Compare compareCmd `cmd:"" help:"Several relays in turn, same load, same sink: medians and ratios."`
	Folders foldersCmd `cmd:"" help:"What mail programs see of a million messages over IMAP, and what filing them costs."`
	Sizes   sizesCmd   `cmd:"" help:"Size of the program, its memory idle and with a queue, and how fast it starts, beside Postfix."`
	Relay   relayCmd   `cmd:"" hidden:"" help:"A relay with the configuration of the environment, until standard input ends."`
	Report  reportCmd  `cmd:"" help:"Reconcile a file of acknowledged with a file of received recipients."`
}

// output is where commands write: people read one, programs the other.
type output struct{ human, json io.Writer }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], output{human: os.Stderr, json: os.Stdout})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "relaybench:", err)
		os.Exit(1)
	}
}

// run runs one command.
func run(ctx context.Context, args []string, out output) error {
	root, err := command.New(&cli{}, "relaybench", "Load source, sink and report for SMTP relays.")
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	c, err := root.Parse(args)
	if errors.Is(err, command.ErrHelp) {
		return c.WriteHelp(out.json, command.Width(out.json, os.Getenv("COLUMNS")))
	}
	if err != nil {
		return fmt.Errorf("%w\nRun `%s --help`", err, c.Path())
	}
	return c.Target().(runner).Run(ctx, out)
}

// runner is a command.
type runner interface {
	Run(ctx context.Context, out output) error
}
