// Package v1 holds the types of the HTTP API's version 1, which server and
// client share. JSON is snake_case; times are RFC 3339 in UTC; sizes are octets.
package v1
