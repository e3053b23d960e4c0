// Package bounce says what a failed attempt means and what to do about it: it
// gives the attempt a class, and decides between another try and giving up.
//
// It is the one place that decides temporary or permanent. The first digit of
// the reply code decides (RFC 5321 §4.2.1), but for the classes whose policy
// says otherwise, such as a block list that answers 554 and means "not from
// this address today". What is unknown is temporary. The enhanced code and the
// text decide the class only.
//
// The rules are data: rules.txt, read at construction, first match wins. It
// leaves to relay/delivery when the next try is made, and to relay/report how
// people are told.
package bounce
