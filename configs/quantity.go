package configs

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const durationFix = "write a number and a unit, such as 30s, 5m, 72h or 3d"

var longUnits = []struct {
	suffix string
	hours  float64
}{{"d", 24}, {"w", 7 * 24}}

// ParseDuration reads 90s, 5m, 1h30m, 72h as time.ParseDuration does, and days
// and weeks besides: 3d, 1w, 1d12h. A number without a unit is an error unless
// it is 0, and so is anything negative.
func ParseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	rest, total := s, time.Duration(0)
	if rest == "" {
		return 0, wrong(durationFix, "no duration given")
	}
	for rest != "" {
		n := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if n < 0 {
			if rest == s && strings.Trim(rest, "0") == "" {
				return 0, nil
			}
			return 0, wrong(durationFix, "%q has no unit", s)
		}
		unit := rest[n:]
		if m := strings.IndexFunc(unit, func(r rune) bool { return r >= '0' && r <= '9' || r == '.' }); m >= 0 {
			unit = unit[:m]
		}
		d, err := partOfDuration(rest[:n], unit)
		if err != nil || d > math.MaxInt64-total {
			return 0, wrong(durationFix, "%q is not a duration", s)
		}
		total += d
		rest = rest[n+len(unit):]
	}
	return total, nil
}

func partOfDuration(number, unit string) (time.Duration, error) {
	for _, u := range longUnits {
		if unit != u.suffix {
			continue
		}
		f, err := strconv.ParseFloat(number, 64)
		if err != nil || f*u.hours > float64(math.MaxInt64/int64(time.Hour)) {
			return 0, fmt.Errorf("parse %q%s: out of range", number, unit)
		}
		return time.Duration(f * u.hours * float64(time.Hour)), nil
	}
	return time.ParseDuration(number + unit)
}

// FormatDuration writes a duration so that ParseDuration reads it back, in the
// largest single unit that fits: 72h, 80m, 90s.
func FormatDuration(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	default:
		return d.String()
	}
}

const sizeFix = "write a number of bytes or a unit, such as 25MB (decimal) or 10MiB (binary)"

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// ParseSize reads a number of bytes: 25MB, 10MiB, 1.5GB, 4096. Upper and lower
// case are the same. A bare K, M or G is refused, since it means two things.
func ParseSize(s string) (int64, error) {
	number, factor := strings.TrimSpace(s), int64(1)
	for _, u := range sizeUnits {
		if n := len(number) - len(u.suffix); n >= 0 && strings.EqualFold(number[n:], u.suffix) {
			number, factor = strings.TrimSpace(number[:n]), u.bytes
			break
		}
	}
	if number == "" || strings.Trim(number, "0123456789.") != "" {
		return 0, wrong(sizeFix, "%q is not a size", s)
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n > math.MaxInt64/factor {
			return 0, wrong(sizeFix, "%q is too large", s)
		}
		return n * factor, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f*float64(factor) >= math.MaxInt64 {
		return 0, wrong(sizeFix, "%q is not a size", s)
	}
	return int64(f * float64(factor)), nil
}

// FormatSize writes a size so that ParseSize reads it back exactly.
func FormatSize(n int64) string {
	best := strconv.FormatInt(n, 10)
	if n == 0 {
		return best
	}
	for _, u := range sizeUnits {
		if n%u.bytes != 0 || u.bytes == 1 {
			continue
		}
		if t := strconv.FormatInt(n/u.bytes, 10) + u.suffix; len(t) < len(best) {
			best = t
		}
	}
	return best
}
