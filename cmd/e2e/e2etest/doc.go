// Package e2etest runs the program under test and what stands around it.
//
// It promises that everything it starts has ended when the test has: processes
// are killed, servers closed, directories removed. Nothing waits longer than
// its context, and everything listens on loopback addresses at free ports.
// What the program should do is left to the tests.
package e2etest
