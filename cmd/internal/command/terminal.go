package command

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Width is how many characters fit on a line of what w writes to: what the
// variable COLUMNS says, else the terminal, else 80.
func Width(w io.Writer, columns string) int {
	if n, err := strconv.Atoi(columns); err == nil && n > 0 {
		return n
	}
	if f, ok := w.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col)
		}
	}
	return 80
}
