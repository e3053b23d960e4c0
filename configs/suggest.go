package configs

import "strings"

// nearest returns the known word that unknown was probably meant to be, or "".
// A word whose last part is the same wins; else the fewest edits, if few enough.
func nearest(unknown string, known []string, separator string) string {
	last := unknown[strings.LastIndex(unknown, separator)+1:]
	best, fewest := "", max(2, len(unknown)/4)+1
	for _, k := range known {
		if strings.HasSuffix(k, separator+last) && last != "" && separator == "." {
			return k
		}
		if n := edits(unknown, k); n < fewest {
			best, fewest = k, n
		}
	}
	return best
}

// edits is the Levenshtein distance; words longer than any key are not compared.
func edits(a, b string) int {
	if len(a) > 100 || len(b) > 100 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
