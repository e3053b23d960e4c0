// Package archtest holds the house rules of the module as a test: what lies at
// the top level, which room may import which, and that nothing of testing is
// linked into the program. It reads imports with go/parser, so that a test
// result kept in the cache cannot hide a violation.
package archtest
