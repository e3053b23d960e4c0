//go:build full

package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// marionette speaks the protocol by which programs that are built on Gecko are
// driven: arrays in JSON over TCP, each after its length and a colon. It is for
// one goroutine.
type marionette struct {
	conn    net.Conn
	r       *bufio.Reader
	id      int
	unwatch func() bool
}

// maxMarionette bounds a message; screenshots are the largest.
const maxMarionette = 64 << 20

// scriptTimeout is more than what scripts wait by themselves.
const scriptTimeout = 2 * time.Minute

// dialMarionette connects to the port of a program. The connection is closed when
// ctx ends.
func dialMarionette(ctx context.Context, port int) (*marionette, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	m := &marionette{conn: conn, r: bufio.NewReader(conn), unwatch: context.AfterFunc(ctx, func() { conn.Close() })}
	if _, err := m.read(); err != nil {
		m.close()
		return nil, fmt.Errorf("greeting: %w", err)
	}
	if err := m.call("WebDriver:NewSession", map[string]any{}, nil); err != nil {
		m.close()
		return nil, err
	}
	if err := m.call("WebDriver:SetTimeouts", map[string]any{"script": scriptTimeout.Milliseconds()}, nil); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (m *marionette) close() {
	m.unwatch()
	m.conn.Close()
}

func (m *marionette) read() ([]byte, error) {
	length, err := m.r.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
	if err != nil || n > maxMarionette {
		return nil, fmt.Errorf("length %q", length)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(m.r, b)
	return b, err
}

// call runs a command and keeps its result, unless result is nil.
func (m *marionette) call(command string, params, result any) error {
	m.id++
	request, err := json.Marshal([]any{0, m.id, command, params})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(m.conn, "%d:%s", len(request), request); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	response, err := m.read()
	if err != nil {
		return fmt.Errorf("reply to %s: %w", command, err)
	}
	var failure *struct{ Error, Message string }
	var value json.RawMessage
	if err := json.Unmarshal(response, &[]any{new(int), new(int), &failure, &value}); err != nil {
		return fmt.Errorf("reply to %s: %w in %.200s", command, err, response)
	}
	if failure != nil {
		return fmt.Errorf("%s: %s: %s", command, failure.Error, failure.Message)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(value, result)
}

// context makes scripts run in the program itself ("chrome") or in the page that
// it shows ("content").
func (m *marionette) context(name string) error {
	return m.call("Marionette:SetContext", map[string]any{"value": name}, nil)
}

// run calls an asynchronous function of a script and keeps what it returns,
// unless result is nil.
func (m *marionette) run(script, function string, args []any, result any) error {
	if args == nil {
		args = []any{}
	}
	var reply struct {
		Value struct {
			Failure string
			Value   json.RawMessage
		}
	}
	if err := m.call("WebDriver:ExecuteAsyncScript", map[string]any{
		"script": script + "\n" + function + "(...arguments[0]).then(value => arguments[1]({value}), e => arguments[1]({failure: `${e}\\n${e.stack}`}));",
		"args":   []any{args},
	}, &reply); err != nil {
		return fmt.Errorf("%s: %w", function, err)
	}
	if reply.Value.Failure != "" {
		return errors.New(reply.Value.Failure)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(reply.Value.Value, result)
}

// screenshot is what the window shows, as a PNG.
func (m *marionette) screenshot() ([]byte, error) {
	var shot struct{ Value []byte } // in base64, as encoding/json has it
	err := m.call("WebDriver:TakeScreenshot", map[string]any{"full": false, "hash": false}, &shot)
	return shot.Value, err
}
