package acme

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Limits of the door on port 80, which the whole internet can reach.
const (
	doorTime        = 5 * time.Second // for a request, and for its answer
	doorConnections = 200             // at once; further ones wait
	doorHeader      = 8 << 10
)

// Door answers on port 80. Serve, then Drain once.
type Door struct {
	server *http.Server
	log    *slog.Logger
	wg     sync.WaitGroup
}

// NewDoor returns a Door that answers with h.
func NewDoor(h http.Handler, log *slog.Logger) *Door {
	d := &Door{log: log, server: &http.Server{
		Handler: http.MaxBytesHandler(h, doorHeader), ReadTimeout: doorTime, WriteTimeout: doorTime, MaxHeaderBytes: doorHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
	d.server.SetKeepAlivesEnabled(false)
	return d
}

// Serve answers on l until Drain. It returns at once.
func (d *Door) Serve(l net.Listener) {
	l = netutil.LimitListener(l, doorConnections)
	d.wg.Go(func() {
		if err := d.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("listener for the authority's questions failed", "address", l.Addr().String(), "error", err)
		}
	})
}

// Drain stops listening and ends what is under way.
func (d *Door) Drain(ctx context.Context) error {
	err := d.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("drain the door for authorities: %w", err), d.server.Close())
	}
	d.wg.Wait()
	return err
}
