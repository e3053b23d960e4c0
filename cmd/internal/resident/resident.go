// Package resident keeps small what a relay that waits holds in memory.
//
// Two things make it large. After a load the heap has room for as much garbage
// again as there was work. And starting reads the configuration, describes
// the API and prepares tables: it runs a good part of the program once, and never
// again. Its pages stay mapped, since nothing else wants the memory. All of this
// counts as the process's own wherever somebody looks.
package resident

import (
	"bytes"
	"strconv"
)

// span is a part of the address space.
type span struct{ from, to uintptr }

// readOnly finds, in what /proc/self/smaps says, the parts of the file that the
// address inside belongs to, as far as nothing can be written there and nothing
// was: a loader that moves addresses writes into parts before it closes them
// (RELRO), and what it wrote is in no file.
func readOnly(smaps []byte, inside uintptr) []span {
	type part struct {
		span
		file    string // device and inode
		mode    string
		touched bool // some of it is in no file, but in memory or in swap
		told    int  // lines that say so or not; 2 of each part
	}
	var parts []part
	file := ""
	for line := range bytes.Lines(smaps) {
		f := bytes.Fields(line)
		if len(f) == 3 && len(parts) > 0 && (string(f[0]) == "Anonymous:" || string(f[0]) == "Swap:") {
			p := &parts[len(parts)-1]
			p.told++
			p.touched = p.touched || string(f[1]) != "0"
			continue
		}
		// proc_pid_maps(5): address perms offset dev inode pathname
		if len(f) < 5 || len(f[1]) != 4 {
			continue
		}
		from, to, found := bytes.Cut(f[0], []byte("-"))
		lo, err := strconv.ParseUint(string(from), 16, strconv.IntSize)
		hi, err2 := strconv.ParseUint(string(to), 16, strconv.IntSize)
		if !found || err != nil || err2 != nil || lo >= hi {
			continue
		}
		p := part{span: span{uintptr(lo), uintptr(hi)}, mode: string(f[1])}
		if string(f[4]) != "0" {
			p.file = string(f[3]) + " " + string(f[4])
		}
		if p.from <= inside && inside < p.to {
			file = p.file
		}
		parts = append(parts, p)
	}
	var spans []span
	for _, p := range parts {
		if file != "" && p.file == file && p.mode[1] == '-' && p.told == 2 && !p.touched {
			spans = append(spans, p.span)
		}
	}
	return spans
}
