package main

import (
	"fmt"
	"io"
	"strings"
)

// print writes what was measured as Markdown.
func (r *foldersReport) print(w io.Writer) {
	if len(r.Read) > 0 {
		fmt.Fprintf(w, "\nEmbedded store, %s messages in the folder", thousands(r.Messages))
		if r.DovecotMessages > 0 && r.DovecotMessages != r.Messages {
			fmt.Fprintf(w, "; %s in Dovecot's", thousands(r.DovecotMessages))
		}
		fmt.Fprint(w, ":\n\n")
		printRead(w, r.Read)
	}
	if len(r.Redis) > 0 {
		fmt.Fprintf(w, "\nStore in Redis, %s messages in the folder:\n\n", thousands(r.RedisMessages))
		printRead(w, r.Redis)
	}
	if len(r.Idle) > 0 {
		fmt.Fprint(w, "\n| idle connections | number | memory with one | with all | gate | for each |\n| --- | --- | --- | --- | --- | --- |\n")
		for _, i := range r.Idle {
			fmt.Fprintf(w, "| %s | %s | %.0f MB | %.0f MB | %s | %.0f KB |\n", i.Server, thousands(i.Connections), i.Before, i.After, gate(i.After, i.Gate, "%.0f MB"), i.Each)
		}
	}
	if r.Write.Messages > 0 {
		r.Write.print(w)
	}
}

func printRead(w io.Writer, rows []readRow) {
	beside := rows[0].Dovecot > 0
	head := []string{"", "median", "least–most", "gate", "over TLS", "answer"}
	if beside {
		head = append(head, "Dovecot", "ratio", "Dovecot, asked first")
	}
	line(w, head...)
	line(w, strings.Split(strings.Repeat("--- ", len(head)-1)+"---", " ")...)
	for _, r := range rows {
		cells := []string{r.Name, ms(r.Ours), span(r.Least, r.Most), gate(max(r.Ours, r.TLS), r.Gate, "%.0f ms"), ms(r.TLS), answer(r)}
		if beside {
			cells = append(cells, ms(r.Dovecot), fmt.Sprintf("%.1f×", r.Ratio), ms(r.First))
		}
		line(w, cells...)
	}
}

func line(w io.Writer, cells ...string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }

func answer(r readRow) string {
	text := fmt.Sprintf("%.1f KB", float64(r.Octets)/1024)
	if r.Octets >= 1<<20 {
		text = fmt.Sprintf("%.1f MB", float64(r.Octets)/(1<<20))
	}
	if r.NotOK > 0 {
		text += fmt.Sprintf(", %d of %d %s", r.NotOK, r.Times, strings.SplitAfter(r.Answer, "]")[0])
	}
	return text
}

// ms shows milliseconds with as many digits as say something.
func ms(v float64) string {
	switch {
	case v == 0:
		return ""
	case v < 10:
		return fmt.Sprintf("%.2f ms", v)
	case v < 100:
		return fmt.Sprintf("%.1f ms", v)
	}
	return fmt.Sprintf("%s ms", thousands(int(v+0.5)))
}

func span(least, most float64) string {
	return strings.TrimSuffix(ms(least), " ms") + "–" + ms(most)
}

// gate shows a limit, and whether it is kept.
func gate(v, limit float64, format string) string {
	text := fmt.Sprintf(format, limit)
	switch {
	case limit == 0:
		return ""
	case v < limit:
		return "< " + text
	}
	return "**missed:** " + text
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

func (r *writeReport) print(w io.Writer) {
	fmt.Fprintf(w, "\nDelivery end to end, %s messages of 4 KB in a round, 20 connections that are used again, medians of %d rounds:\n\n",
		thousands(int(r.Messages)), len(r.rounds[0]))
	line(w, "", "accepted/s", "delivered/s", "delivered and filed/s", "submission p50, p99", "relay's CPU for a message")
	line(w, "---", "---", "---", "---", "---", "---")
	for _, s := range []struct {
		name string
		writeSide
	}{{"with folders", r.With}, {"without", r.Without}} {
		filed := ""
		if s.Filed > 0 {
			filed = thousands(int(s.Filed))
		}
		line(w, s.name, thousands(int(s.Accepted)), thousands(int(s.Delivered)), filed, fmt.Sprintf("%.1f, %.1f ms", s.P50, s.P99), fmt.Sprintf("%.0f µs", s.CPU))
	}
	verdict := "kept"
	if r.Lost > writeGate {
		verdict = "**missed**"
	}
	fmt.Fprintf(w, "\nWith folders %.1f %% fewer are delivered a second (gate: at most %.0f %%, %s); filing takes %.0f µs of CPU for a message. All was filed %.1f s (median) after the last arrival.\n",
		100*r.Lost, 100*writeGate, verdict, r.CPU, median(r.Lag))
}
