package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
)

const (
	magicPrefix = "postrider archive "
	// Since version 2 messages have labels, a credential, sandbox and
	// require_tls. Readers know all versions.
	fileVersion = 2
	// maxMagic is how long the first line is at most.
	maxMagic = 40

	frameHead = 9
	// pieceSize is the size of all pieces of a content but the last.
	pieceSize = 256 << 10
	// maxFrame bounds a payload. A message with 1000 recipients has some
	// megabytes at most.
	maxFrame = 32 << 20

	footerSize = 16
	footerMark = "prarcend"
)

// The types of frames.
const (
	frameHeader     = 'h'
	framePiece      = 'c'
	frameItem       = 'i'
	frameCheckpoint = 'k'
	frameEnd        = 'e'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func magic() string { return magicPrefix + strconv.Itoa(fileVersion) + "\n" }

// checkMagic reads the first line and returns its length.
func checkMagic(r io.ReaderAt) (int64, error) {
	b := make([]byte, maxMagic)
	n, err := r.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return 0, err
	}
	line, _, ok := strings.Cut(string(b[:n]), "\n")
	version, isOurs := strings.CutPrefix(line, magicPrefix)
	v, verr := strconv.Atoi(version)
	switch {
	case !ok || !isOurs || verr != nil || v < 1:
		return 0, fmt.Errorf("it is not an archive of this program")
	case v > fileVersion:
		return 0, fmt.Errorf("it has version %d, and this program knows up to %d: use the newer version that wrote it", v, fileVersion)
	}
	return int64(len(line)) + 1, nil
}

// frameSum is the checksum of a frame; head has its type and length.
func frameSum(head, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(head[:5], castagnoli), castagnoli, payload)
}

func appendFrame(b []byte, typ byte, payload []byte) []byte {
	start := len(b)
	b = append(b, typ)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, frameSum(b[start:], payload))
	return append(b, payload...)
}

// ErrDamaged: a file is not as it was written.
var ErrDamaged = errors.New("the archive is damaged")

// errCutShort is what a file is that was not finished, or not copied whole.
var errCutShort = fmt.Errorf("%w: its end is missing, as if writing or copying it had been broken off", ErrDamaged)

// damage is a place that is not as it was written.
type damage struct {
	at  int64
	why string
}

func (d damage) Error() string { return fmt.Sprintf("%s at offset %d: %s", ErrDamaged, d.at, d.why) }

// Is makes it an ErrDamaged.
func (d damage) Is(target error) bool { return target == ErrDamaged }

// frames reads frames of a file through a window.
type frames struct {
	r    io.ReaderAt
	end  int64 // of the frames
	buf  []byte
	from int64 // where buf begins
}

const frameWindow = 64 << 10

// bytes returns n octets at off, which are good until the next call. It reads
// ahead, and never makes room for more than the file has.
func (f *frames) bytes(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off+n > f.end {
		return nil, damage{off, "it is cut short"}
	}
	if off >= f.from && off+n <= f.from+int64(len(f.buf)) {
		return f.buf[off-f.from:][:n], nil
	}
	want := min(max(n, frameWindow), f.end-off)
	if int64(cap(f.buf)) < want {
		f.buf = make([]byte, want)
	}
	f.buf, f.from = f.buf[:want], off
	if got, err := f.r.ReadAt(f.buf, off); int64(got) < want {
		f.buf = f.buf[:0]
		if err == io.EOF {
			err = damage{off, "it is cut short"}
		}
		return nil, err
	}
	return f.buf[:n], nil
}

// head reads type and length of the frame at off.
func (f *frames) head(off int64) (typ byte, n int64, err error) {
	b, err := f.bytes(off, frameHead)
	if err != nil {
		return 0, 0, err
	}
	n = int64(binary.LittleEndian.Uint32(b[1:]))
	if n > maxFrame || off+frameHead+n > f.end {
		return 0, 0, damage{off, "a length makes no sense"}
	}
	return b[0], n, nil
}

// read returns the frame at off, checked, and where the next one is. The
// payload is good until the next call.
func (f *frames) read(off int64) (typ byte, payload []byte, next int64, err error) {
	typ, n, err := f.head(off)
	if err != nil {
		return 0, nil, 0, err
	}
	b, err := f.bytes(off, frameHead+n)
	if err != nil {
		return 0, nil, 0, err
	}
	if frameSum(b, b[frameHead:]) != binary.LittleEndian.Uint32(b[5:]) {
		return 0, nil, 0, damage{off, "a checksum does not match"}
	}
	return typ, b[frameHead:], off + frameHead + n, nil
}

func appendFooter(b []byte, end int64) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(end)), footerMark...)
}

// readFooter returns where the frame of the end is.
func readFooter(r io.ReaderAt, size int64) (int64, error) {
	var b [footerSize]byte
	if size < footerSize {
		return 0, errCutShort
	}
	if _, err := r.ReadAt(b[:], size-footerSize); err != nil {
		return 0, err
	}
	end := int64(binary.LittleEndian.Uint64(b[:]))
	if string(b[8:]) != footerMark || end < 0 || end > size-footerSize {
		return 0, errCutShort
	}
	return end, nil
}
