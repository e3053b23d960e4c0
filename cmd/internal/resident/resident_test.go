package resident

import (
	"bytes"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// someMaps is shortened: smaps(5) has some twenty lines for each part.
const someMaps = `00400000-014e8000 r-xp 00000000 fe:01 77 /usr/bin/postrider
Size:              17312 kB
Rss:                9000 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
014e8000-02558000 r--p 010e8000 fe:01 77 /usr/bin/postrider
Anonymous:             0 kB
Swap:                  0 kB
02550000-02558000 r--p 02150000 fe:01 77 /usr/bin/postrider
Anonymous:             4 kB
Swap:                  0 kB
02558000-026e0000 rw-p 02158000 fe:01 77 /usr/bin/postrider
Anonymous:             0 kB
Swap:                  0 kB
026e0000-04000000 rw-p 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
26dd48c00000-26dd49400000 rw-p 00000000 00:00 0 [heap]
Anonymous:          1024 kB
Swap:                  0 kB
02548000-02550000 r--p 02148000 fe:01 77 /usr/bin/postrider
Anonymous:             0 kB
Swap:                  4 kB
7fccad7e0000-7fccadb00000 r--p 00000000 fe:01 78 /usr/lib/other file (deleted)
Anonymous:             0 kB
Swap:                  0 kB
7fccae000000-7fccae001000 r--p 00000000 fe:02 77 /elsewhere/77
Anonymous:             0 kB
Swap:                  0 kB
7fccae001000-7fccae002000 r--p 00001000 fe:02 77 /elsewhere/77
7ffe1000-7ffe3000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
Swap:                  0 kB
`

func TestOnlyTheProgramsOwnReadOnlyPartsAreGivenBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		maps   string
		inside uintptr
		want   []span
	}{
		"the code is found by an address in it": {someMaps, 0x400000, []span{{0x400000, 0x14e8000}, {0x14e8000, 0x2558000}}},
		"or by one that can be written":         {someMaps, 0x2558001, []span{{0x400000, 0x14e8000}, {0x14e8000, 0x2558000}}},
		"what the loader wrote into stays":      {someMaps, 0x2550000, []span{{0x400000, 0x14e8000}, {0x14e8000, 0x2558000}}},
		"a part of which nothing is told stays": {someMaps, 0x7fccae001000, []span{{0x7fccae000000, 0x7fccae001000}}},
		"another file has another inode":        {someMaps, 0x7fccad7e0000, []span{{0x7fccad7e0000, 0x7fccadb00000}}},
		"or another device":                     {someMaps, 0x7fccae000000, []span{{0x7fccae000000, 0x7fccae001000}}},
		"memory without a file stays":           {someMaps, 0x26dd48c00000, nil},
		"the end of a part is not in it":        {someMaps, 0x26e0000, nil},
		"nothing is known":                      {"", 0x400000, nil},
		"lines that are none are passed over":   {"x\n1-2 r-xp\n9-5 r--p 0 1:1 5 /a\nAnonymous: 0 kB\nSwap: 0 kB\nzz-5 r--p 0 1:1 5 /a\n", 1, nil},
	} {
		if got := readOnly([]byte(c.maps), c.inside); !slices.Equal(got, c.want) {
			t.Errorf("%s: %x, want %x", name, got, c.want)
		}
	}
}

func TestTheProgramGoesOnAfterwards(t *testing.T) {
	if runtime.GOOS == "linux" {
		maps, err := os.ReadFile("/proc/self/smaps")
		if err != nil {
			t.Fatal(err)
		}
		if parts := readOnly(maps, reflect.ValueOf(TestTheProgramGoesOnAfterwards).Pointer()); len(parts) == 0 {
			t.Errorf("this program is not in\n%s", maps)
		}
	}
	kept := bytes.Repeat([]byte("what was written stays "), 1000)
	GiveBack()
	GiveBack()
	if n := strings.Count(string(kept), "stays"); n != 1000 {
		t.Errorf("%d are left of 1000", n)
	}
}

func FuzzReadOnly(f *testing.F) {
	f.Add(someMaps, uint64(0x400000))
	f.Add("1-2 r--p 0 1:1 5 /a\n", uint64(1))
	f.Fuzz(func(t *testing.T, maps string, inside uint64) {
		for _, s := range readOnly([]byte(maps), uintptr(inside)) {
			if s.from >= s.to {
				t.Errorf("%x-%x is empty", s.from, s.to)
			}
		}
	})
}
