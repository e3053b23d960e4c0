package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"postrider/api/client"
	"postrider/configs"
)

type healthCmd struct {
	adminFlags
	Timeout time.Duration `default:"5s" help:"How long to wait for the answer."`
}

// Run asks the admin socket, or the HTTP listener if there is none.
func (c *healthCmd) Run(sh *shell) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	cl, err := c.probe(sh)
	if err != nil {
		return err
	}
	if err := cl.Ready(ctx); err != nil {
		return explain(err)
	}
	fmt.Fprintln(sh.stdout, "ready")
	return nil
}

func (c *healthCmd) probe(sh *shell) (*client.Client, error) {
	cfg, _ := configs.Load(loadOptions(sh, c.Config, nil))
	off := c.Socket == "" && cfg.Admin.Socket == "" && sh.getenv("POSTRIDER_URL") == ""
	if !off || len(cfg.HTTP.Listen) == 0 {
		return c.connect(sh)
	}
	l := cfg.HTTP.Listen[0]
	host := l.Host
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return client.New("http://"+net.JoinHostPort(host, fmt.Sprint(l.Port)), "")
}
