// Package configs is the configuration of Postrider: one YAML file, the
// POSTRIDER_* environment and command-line flags, read into one typed [Config].
//
// It promises that every key is described once, in one table, and that loading,
// the reference and the full example all come from it; that [Load] reports
// every problem it finds at once, each with the key, the place it came from and
// what to do; that unknown keys and names are errors; that secrets print as
// ***; and that a configuration which would make an open relay is refused.
//
// It leaves to others what the values mean at work: packages have Options of
// their own, and the application translates. Nothing here opens a socket, asks
// the DNS or writes a file.
package configs
