// Package bounce says what a failed attempt means and what to do about it: it
// gives the attempt a class, decides between another try and giving up, and says
// what the attempt means for its site.
//
// It is the one place that decides temporary or permanent. The first digit of
// the reply code decides (RFC 5321 §4.2.1), but for the classes and rules whose
// policy says otherwise, such as a block list that answers 554 and means "not
// from this address today". What is unknown is temporary. The enhanced code and
// the text decide the class only.
//
// The rules are data, read at construction: those of an operator's file, then
// those of the provider whose host spoke, then the generic ones; the first match
// wins. rules/generic.txt shows the format, which RuleFile describes. A file is
// refused, with its name and line, for what would make a rule dead: a provider
// that nobody has, a pattern that cannot match, a rule behind a wider one.
//
// It leaves to relay/delivery when the next try is made and what the limits of
// the site are told, and to relay/report how people are told.
package bounce
