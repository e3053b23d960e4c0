//go:build !linux

package smtpsim

import "net"

func quickAck(net.Conn) {}

func hasInput(net.Conn) bool { return false }

func awaitHangUp(net.Conn) bool { return false }
