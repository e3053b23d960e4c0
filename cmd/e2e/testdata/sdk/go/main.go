// The program sends the same messages by each of the providers' libraries for Go,
// and tells of each step in a line of JSON.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"time"
)

var (
	base = os.Getenv("BASE")
	key  = os.Getenv("KEY")
)

const (
	text = "Hällo text\n"
	html = "<p>Hällo <img src=\"cid:logo.png\"></p>\n"
	file = "attachment ü\n"
	logo = "\x89PNG\r\n\x1a\n\x00\xff"
)

func later() time.Time { return time.Now().Add(time.Hour) }

func main() {
	viaResend()
	viaPostmark()
	viaSendGrid()
	viaMailgun()
}

// line is what is told of a step.
type line struct {
	SDK     string `json:"sdk"`
	Version string `json:"version"`
	Name    string `json:"name"`
	Call    string `json:"call"`
	OK      bool   `json:"ok"`
	Value   any    `json:"value,omitempty"`
	Type    string `json:"type,omitempty"`
	Status  any    `json:"status,omitempty"`
	Message string `json:"message,omitempty"`
}

// failure is an error of a library that has no errors.
type failure struct {
	kind    string
	status  int
	message string
}

func (f *failure) Error() string { return f.message }

// steps returns what runs a step and tells how it went.
func steps(module string) func(name, call string, run func() (any, error)) any {
	version := versionOf(module)
	return func(name, call string, run func() (any, error)) any {
		l := line{SDK: module + " (Go)", Version: version, Name: name, Call: call}
		value, err := run()
		if err == nil {
			l.OK, l.Value = true, value
		} else {
			l.Type, l.Message = reflect.TypeOf(err).String(), err.Error()
			if f := (*failure)(nil); errors.As(err, &f) {
				l.Type, l.Status = f.kind, f.status
			}
		}
		b, err := json.Marshal(l)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(b))
		return value
	}
}

// versionOf reads which version of a module was built in.
func versionOf(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return "unknown"
}
