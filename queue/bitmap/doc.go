// Package bitmap is an immutable set of 32-bit numbers, made for UIDs: millions of
// ascending ones, from which some go missing. A copy is a pointer, a changed set
// shares all the chunks that did not change with the one it came from, and two
// sets are told apart by looking at those alone.
//
// Numbers lie in chunks of 4096, which take 512 octets in memory however few of
// them are there. A set costs in time what its chunks do, not its members: the
// sequence numbers of IMAP, At and Rank, are found by their count.
//
// A chunk is stored by itself, in one of two forms, told apart by length:
//
//	512 octets    a bit for each number, lowest first
//	1 to 511      the numbers, ascending, each as an unsigned varint of how far
//	              it is beyond the next free place: 3, 4, 9 are 3, 0, 4
package bitmap
