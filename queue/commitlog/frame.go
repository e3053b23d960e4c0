package commitlog

import (
	"encoding/binary"
	"hash/crc32"
)

const (
	headerSize = 16
	blockSize  = 64 << 10
	alignment  = 8
	frameMagic = 0x5052
	flagMore   = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the decoded fixed part of a record.
type header struct {
	sum      uint32
	length   uint32
	typ      byte
	more     bool
	unsynced uint32
}

func blocks(payload int64) int64 { return (payload + blockSize - 1) / blockSize }

func alignUp(n int64) int64 { return (n + alignment - 1) &^ (alignment - 1) }

// frameSize is what a payload of n bytes takes in the file.
func frameSize(n int64) int64 { return alignUp(headerSize + 4*blocks(n) + n) }

// headSize is the size of the header with its block sums.
func (h header) headSize() int64 { return headerSize + 4*blocks(int64(h.length)) }

func (h header) frameSize() int64 { return frameSize(int64(h.length)) }

// appendSums appends the checksum of each block of the payload a‖b.
func appendSums(sums []uint32, a, b []byte) []uint32 {
	for len(a)+len(b) > 0 {
		n := min(len(a), blockSize)
		sum := crc32.Update(0, castagnoli, a[:n])
		a = a[n:]
		m := min(len(b), blockSize-n)
		sums = append(sums, crc32.Update(sum, castagnoli, b[:m]))
		b = b[m:]
	}
	return sums
}

// headSum covers what makes a record belong to this place: salt, position,
// header and block sums. Salt and position give the state that the checksum
// starts from.
func headSum(salt uint64, pos Position, head []byte) uint32 {
	place := salt + uint64(pos)
	place = (place ^ place>>33) * 0xff51afd7ed558ccd
	place = (place ^ place>>33) * 0xc4ceb9fe1a85ec53
	return crc32.Update(uint32(place>>32), castagnoli, head[4:])
}

// appendFrame appends one encoded record to buf and returns where in buf the
// payload starts.
func appendFrame(buf []byte, salt uint64, pos Position, r *Record, sums []uint32, more bool, unsynced uint32) ([]byte, int) {
	start, n := len(buf), len(r.Payload)+len(r.Body)
	var fixed [headerSize]byte
	binary.LittleEndian.PutUint32(fixed[4:], uint32(n))
	fixed[8] = r.Type
	if more {
		fixed[9] = flagMore
	}
	binary.LittleEndian.PutUint16(fixed[10:], frameMagic)
	binary.LittleEndian.PutUint32(fixed[12:], unsynced)
	buf = append(buf, fixed[:]...)
	for _, s := range sums {
		buf = binary.LittleEndian.AppendUint32(buf, s)
	}
	binary.LittleEndian.PutUint32(buf[start:], headSum(salt, pos, buf[start:]))
	payload := len(buf)
	buf = append(buf, r.Payload...)
	buf = append(buf, r.Body...)
	var zeros [alignment]byte
	end := start + int(frameSize(int64(n)))
	return append(buf, zeros[:end-len(buf)]...), payload
}

// parseHeader decodes the fixed part. It returns false if the bytes cannot be
// a record; true says only that the checksum is worth computing.
func parseHeader(b []byte) (header, bool) {
	h := header{
		sum:      binary.LittleEndian.Uint32(b),
		length:   binary.LittleEndian.Uint32(b[4:]),
		typ:      b[8],
		more:     b[9]&flagMore != 0,
		unsynced: binary.LittleEndian.Uint32(b[12:]),
	}
	ok := binary.LittleEndian.Uint16(b[10:]) == frameMagic &&
		b[9]&^flagMore == 0 && h.typ != 0 && h.length <= MaxBatchBytes
	return h, ok
}

// verifyHead checks header and block sums (head holds exactly both).
func (h header) verifyHead(salt uint64, pos Position, head []byte) bool {
	return headSum(salt, pos, head) == h.sum && uint64(h.unsynced) <= uint64(pos)
}

// verifyBlocks checks data, the bytes of whole blocks from block first on,
// against the block sums in head.
func verifyBlocks(head []byte, first int64, data []byte) bool {
	for i := headerSize + 4*first; len(data) > 0; i += 4 {
		n := min(len(data), blockSize)
		if crc32.Checksum(data[:n], castagnoli) != binary.LittleEndian.Uint32(head[i:]) {
			return false
		}
		data = data[n:]
	}
	return true
}
