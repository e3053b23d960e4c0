package mx_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"postrider/mx"
)

func TestProhibitedAddr(t *testing.T) {
	t.Parallel()
	prohibited := []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255",
		"127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255",
		"198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:0:10.1.2.3",
		"64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "64:ff9b:1::808:808", "100::1",
		"2001::1", "2001:1ff:ffff::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::1",
		"3fff::1", "3fff:fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0",
		"febf::1", "fec0::1", "ff02::1", "4000::1",
	}
	permitted := []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.0", "126.255.255.255",
		"128.0.0.1", "168.63.129.17", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.1",
		"192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
		"::ffff:8.8.8.8", "64:ff9b::808:808", "2001:200::1", "2001:4860:4860::8888", "2002:808:808::1",
		"2a00:1450:4001::1", "2606:4700::1", "3ffe::1",
	}
	for _, s := range prohibited {
		if !mx.ProhibitedAddr(netip.MustParseAddr(s)) {
			t.Errorf("%s is let through", s)
		}
	}
	for _, s := range permitted {
		if mx.ProhibitedAddr(netip.MustParseAddr(s)) {
			t.Errorf("%s is prohibited", s)
		}
	}
	if !mx.ProhibitedAddr(netip.Addr{}) {
		t.Error("the zero address is let through")
	}
}

func TestDialControl(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	guarded := net.Dialer{Control: mx.DialControl(false), Timeout: time.Second}
	conn, err := guarded.DialContext(t.Context(), "tcp", ln.Addr().String())
	var e *mx.Error
	if !errors.As(err, &e) || e.Kind != mx.KindProhibited || e.Enhanced != "5.4.4" || e.Domain != "127.0.0.1" {
		t.Errorf("dial loopback: %v, %v; want prohibited", conn, err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	if _, err := guarded.DialContext(t.Context(), "tcp", "localhost:"+port); !errors.As(err, &e) {
		t.Errorf("dial a name that leads to loopback: %v; want prohibited", err)
	}
	open := net.Dialer{Control: mx.DialControl(true), Timeout: time.Second}
	conn, err = open.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := mx.DialControl(false)("unix", "/tmp/socket", nil); !errors.As(err, &e) {
		t.Errorf("unix socket: %v", err)
	}
}
