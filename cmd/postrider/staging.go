package main

import (
	"fmt"

	"postrider/api/client"
)

// noteStaging says on standard error that the relay sends not all mail to whom it
// is for.
func noteStaging(sh *shell, cl *client.Client) {
	if text := cl.Staging(); text != "" {
		fmt.Fprintln(sh.stderr, text)
	}
}
