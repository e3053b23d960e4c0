package command

import (
	"strconv"
	"strings"
)

// suggestion ends an error with what was meant, if one can guess: one letter of
// three may be wrong, and two at the most.
func suggestion(typed string, known []string) string {
	word := strings.TrimLeft(typed, "-")
	var near []string
	nearest := min(2, max(1, len(word)/3))
	for _, k := range known {
		name := strings.TrimLeft(k, "-")
		d := edits(word, name)
		if word != "" && strings.HasPrefix(name, word) {
			d = 0
		}
		if d < nearest {
			near, nearest = nil, d
		}
		if d == nearest {
			near = append(near, strconv.Quote(k))
		}
	}
	switch len(near) {
	case 0:
		return ""
	case 1:
		return ", did you mean " + near[0] + "?"
	}
	return ", did you mean one of " + strings.Join(near, ", ") + "?"
}

// edits is how many letters must be added, left out or changed, or neighbours
// swapped, to make b of a.
func edits(a, b string) int {
	from, to := []rune(a), []rune(b)
	var before []int // the row above the one above
	above := make([]int, len(to)+1)
	for j := range above {
		above[j] = j
	}
	for i := range from {
		row := make([]int, len(to)+1)
		row[0] = i + 1
		for j := range to {
			change := above[j]
			if from[i] != to[j] {
				change++
			}
			row[j+1] = min(change, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && from[i] == to[j-1] && from[i-1] == to[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above = above, row
	}
	return above[len(to)]
}
