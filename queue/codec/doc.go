// Package codec writes what engines of queue.Store keep of messages, recipients,
// attempts and events as bytes, and reads it again. What engines keep beside
// these they encode themselves, with the same Encoder and Decoder.
//
// It promises that values come back as they were, times in UTC, and that bytes
// written by an earlier Version are read for good; a golden test holds it to
// that. Decoding never panics and never asks for more memory than a multiple of
// the input, whatever the input is.
//
// A sequence of values has no marks in it: the reader must ask for the same
// values in the same order. Integrity is left to those who keep the bytes.
package codec
