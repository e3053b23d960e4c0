package unsubscribe

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"postrider/queue"
	"postrider/queue/suppression"
)

// Suppressions keeps who is not sent to any more: suppression.Book.
type Suppressions interface {
	Add(ctx context.Context, e suppression.Entry) (now suppression.Entry, added bool, err error)
}

// Options are what a Handler needs. Keys and Suppressions are required.
type Options struct {
	Keys         *Keys
	Suppressions Suppressions
	// Done is told of every unsubscription after it was kept, so that the account
	// can be told; nil: nobody. Repeating it is not told.
	Done func(ctx context.Context, c Claim)
	// Limits bounds how often one address may post; nil: it may always.
	Limits queue.Limits
	// Remote is where a request comes from; nil: its connection's other end.
	Remote func(*http.Request) netip.Addr
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discard
}

// Handler serves the links.
type Handler struct{ o Options }

// postRate is generous: mail services post for all their users from a few addresses.
var postRate = queue.Rate{Count: 1200, Per: time.Minute, Burst: 1200}

const maxBody = 8 << 10

// NewHandler returns a Handler.
func NewHandler(o Options) *Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Remote == nil {
		o.Remote = func(r *http.Request) netip.Addr {
			a, _ := netip.ParseAddrPort(r.RemoteAddr)
			return a.Addr()
		}
	}
	return &Handler{o: o}
}

// Mount adds the routes, which belong on the public address only.
func (h *Handler) Mount(r chi.Router) {
	r.Get("/u/{token}", h.ask)
	r.Head("/u/{token}", h.ask)
	r.Post("/u/{token}", h.leave)
}

// ask shows the page with the button, and changes nothing.
func (h *Handler) ask(w http.ResponseWriter, r *http.Request) {
	guard(w.Header())
	if c, ok := h.claim(w, r); ok {
		page{Title: "Unsubscribe?", Text: "You will get no more mail of the list " + c.List + ".", Ask: true}.write(w, http.StatusOK)
	}
}

// leave unsubscribes. A mail program gets an empty answer, a person a page.
func (h *Handler) leave(w http.ResponseWriter, r *http.Request) {
	guard(w.Header())
	if !h.admit(w, r) {
		return
	}
	c, ok := h.claim(w, r)
	if !ok {
		return
	}
	form, ok := h.form(w, r)
	if !ok {
		return
	}
	if form.Get("List-Unsubscribe") != "One-Click" {
		page{Title: "That did not work", Text: "Open the link of your mail again, and use the button."}.write(w, http.StatusBadRequest)
		return
	}
	if err := h.suppress(r.Context(), c); err != nil {
		h.trouble(w, "unsubscribe failed", err)
		return
	}
	if form.Get("page") == "" {
		w.WriteHeader(http.StatusOK)
		return
	}
	page{Title: "You are unsubscribed", Text: "You will get no more mail of the list " + c.List + "."}.write(w, http.StatusOK)
}

// suppress is for this list alone: other mail of the account still flows.
func (h *Handler) suppress(ctx context.Context, c Claim) error {
	_, added, err := h.o.Suppressions.Add(ctx, suppression.Entry{
		Account: c.Account, Address: c.Recipient, Scope: c.List, Reason: suppression.Unsubscribe, Source: c.Message.String(), CreatedAt: h.o.Now(),
	})
	if err != nil || !added {
		return err
	}
	h.o.Logger.Info("recipient unsubscribed", "account", c.Account, "list", c.List, "id", c.Message)
	if h.o.Done != nil {
		h.o.Done(ctx, c)
	}
	return nil
}

func (h *Handler) claim(w http.ResponseWriter, r *http.Request) (Claim, bool) {
	c, err := h.o.Keys.read(r.Context(), chi.URLParam(r, "token"))
	switch {
	case err == nil:
		return c, true
	case errors.Is(err, errToken):
		page{Title: "This link is not valid", Text: "Check that it is complete, or answer the mail that it came with."}.write(w, http.StatusNotFound)
	default:
		h.trouble(w, "unsubscribe link not read", err)
	}
	return Claim{}, false
}

func (h *Handler) trouble(w http.ResponseWriter, what string, err error) {
	h.o.Logger.Error(what, "error", err)
	w.Header().Set("Retry-After", "60")
	page{Title: "That did not work", Text: "Try again in a minute."}.write(w, http.StatusServiceUnavailable)
}

// admit bounds posts by address, or by network for IPv6.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) bool {
	if h.o.Limits == nil {
		return true
	}
	from := h.o.Remote(r).Unmap().WithZone("")
	if !from.IsValid() {
		return true
	}
	bits := 32
	if from.Is6() {
		bits = 64
	}
	network, err := from.Prefix(bits)
	if err != nil {
		return true
	}
	ok, wait, err := h.o.Limits.TakeRate(r.Context(), "unsubscribe/"+network.String(), h.o.Now(), postRate, 1)
	if err != nil {
		h.o.Logger.Warn("rate of unsubscriptions not known", "error", err)
		return true // whoever wants to leave shall not be kept by our trouble
	}
	if !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		page{Title: "Too many at once", Text: "Try again in a minute."}.write(w, http.StatusTooManyRequests)
	}
	return ok
}

// form reads the small body, in either encoding that RFC 8058 §3.1 allows.
func (h *Handler) form(w http.ResponseWriter, r *http.Request) (interface{ Get(string) string }, bool) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var err error
	if strings.EqualFold(kind, "multipart/form-data") {
		err = r.ParseMultipartForm(maxBody)
	} else {
		if kind == "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		err = r.ParseForm()
	}
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		page{Title: "That did not work", Text: "Open the link of your mail again, and use the button."}.write(w, status)
		return nil, false
	}
	return r.PostForm, true
}
