// Package listfile reads and writes suppression lists as files: CSV, with or
// without a heading, and NDJSON.
//
// It reads entry by entry, so that a list may be of any length, goes on after a
// line that is no good, and knows the headings and reasons of lists that other
// providers export.
package listfile
