//go:build !linux

package smtpsim

import "net"

func quickAck(net.Conn) {}

func awaitHangUp(net.Conn) bool { return false }
