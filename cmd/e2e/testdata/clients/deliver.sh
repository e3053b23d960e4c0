#!/bin/sh
# Puts the message of its input into a file of its own in a directory, and rests
# for so many seconds: getmail misses it if a program has ended before getmail
# begins to wait for that.
file=$(mktemp "$1/XXXXXXXXXX") && cat >"$file" && sleep "${2:-0}"
