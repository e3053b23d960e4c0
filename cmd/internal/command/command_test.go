package command_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"postrider/cmd/internal/command"
)

// weekday is a value that reads its own text.
type weekday struct{ n int }

func (d *weekday) UnmarshalText(b []byte) error {
	d.n = strings.Index("mon tue wed", string(b)) + 1
	if d.n == 0 {
		return errors.New("no day")
	}
	return nil
}

type common struct {
	JSON bool `name:"json" help:"Print JSON."`
}

type listCmd struct {
	common
	Follow   bool              `short:"f" help:"Go on."`
	State    []string          `enum:"queued,held,gone" help:"States."`
	To       []string          `sep:"none" placeholder:"ADDRESS" help:"Recipients."`
	Metadata map[string]string `placeholder:"NAME=VALUE" help:"Pairs."`
	Limit    int               `default:"50" help:"How many."`
	Share    float64           `help:"A share."`
	Wait     time.Duration     `default:"3m" help:"How long."`
	Day      weekday           `help:"A day."`
	Label    *string           `help:"A label."`
	Sandbox  *bool             `negatable:"" help:"Whether it is one."`
	Kind     string            `enum:",bulk" default:"" help:"A kind."`
	On       bool              `xor:"on" help:"On."`
	Off      bool              `xor:"on" help:"Off."`
	Secret   string            `hidden:"" help:"Not shown."`
	IDs      []string          `arg:"" optional:"" name:"id" help:"Ids."`
}

type endCmd struct {
	Reason string `required:"" help:"Why."`
	Name   string `arg:"" help:"Whose."`
	File   string `arg:"" optional:"" default:"-" help:"Where to."`
}

// Help is the longer text.
func (*endCmd) Help() string { return "Ends it.\n\n  as typed here\n\nAnd more." }

type extraCmd struct {
	Demo   bool `help:"A demo."`
	values map[string]string
}

func (c *extraCmd) ExtraFlags() []command.Extra {
	c.values = map[string]string{}
	flag := func(name string, hidden bool) command.Extra {
		return command.Extra{Name: name, Help: "A key.", Placeholder: "TEXT", Group: "Keys", Hidden: hidden, Set: func(text string) error {
			if text == "bad" {
				return errors.New("it is bad")
			}
			c.values[name] = text
			return nil
		}}
	}
	return []command.Extra{flag("data-dir", false), flag("deep-down", true)}
}

type grammar struct {
	Queue struct {
		List listCmd `cmd:"" help:"List them all, one after the other, until the line is full and a second one is needed."`
		End  endCmd  `cmd:"" help:"End one."`
	} `cmd:"" help:"The queue."`
	Serve  extraCmd `cmd:"" help:"Serve."`
	Hidden endCmd   `cmd:"" hidden:"" help:"Not shown."`
}

func parse(t *testing.T, args ...string) (*grammar, *command.Command, error) {
	t.Helper()
	g := &grammar{}
	root, err := command.New(g, "prog", "A program.")
	if err != nil {
		t.Fatal(err)
	}
	c, err := root.Parse(args)
	return g, c, err
}

func TestLinesAreReadIntoTheStruct(t *testing.T) {
	t.Parallel()
	label, yes, no := "x", true, false
	// What is not given has these values.
	plain := listCmd{Limit: 50, Wait: 3 * time.Minute}
	for line, want := range map[string]func(l *listCmd){
		"":                                 func(*listCmd) {},
		"--json -f":                        func(l *listCmd) { l.JSON, l.Follow = true, true },
		"--json=false -f=":                 nil,
		"--limit 7 --limit=8":              func(l *listCmd) { l.Limit = 8 },
		"--limit=-8":                       func(l *listCmd) { l.Limit = -8 },
		"--share .5 --wait 90s":            func(l *listCmd) { l.Share, l.Wait = .5, 90*time.Second },
		"--state queued,held":              func(l *listCmd) { l.State = []string{"queued", "held"} },
		"--state held --state=gone":        func(l *listCmd) { l.State = []string{"held", "gone"} },
		`--to a,b --to c\,d`:               func(l *listCmd) { l.To = []string{"a,b", `c\,d`} },
		"--metadata a=b,c=d --metadata=e=": func(l *listCmd) { l.Metadata = map[string]string{"a": "b,c=d", "e": ""} },
		"--day tue":                        func(l *listCmd) { l.Day = weekday{5} },
		"--label x --sandbox":              func(l *listCmd) { l.Label, l.Sandbox = &label, &yes },
		"--no-sandbox":                     func(l *listCmd) { l.Sandbox = &no },
		"--sandbox=false":                  func(l *listCmd) { l.Sandbox = &no },
		"--kind bulk --on":                 func(l *listCmd) { l.Kind, l.On = "bulk", true },
		"--secret -":                       func(l *listCmd) { l.Secret = "-" },
		"one --json two -f -":              func(l *listCmd) { l.JSON, l.Follow, l.IDs = true, true, []string{"one", "two", "-"} },
		"a,b -- --json -f":                 func(l *listCmd) { l.IDs = []string{"a,b", "--json", "-f"} },
	} {
		g, c, err := parse(t, append([]string{"queue", "list"}, strings.Fields(line)...)...)
		if want == nil {
			if err == nil {
				t.Errorf("%q was read", line)
			}
			continue
		}
		wanted := plain
		want(&wanted)
		if err != nil || !reflect.DeepEqual(g.Queue.List, wanted) {
			t.Errorf("%q: %v\nhave %+v\nwant %+v", line, err, g.Queue.List, wanted)
		}
		if c.Target() != any(&g.Queue.List) || c.Path() != "prog queue list" {
			t.Errorf("%q is %s", line, c.Path())
		}
	}
}

func TestArgumentsHaveTheirPlaces(t *testing.T) {
	t.Parallel()
	g, _, err := parse(t, "queue", "end", "shop", "--reason=why")
	if want := (endCmd{Reason: "why", Name: "shop", File: "-"}); err != nil || g.Queue.End != want {
		t.Errorf("%+v, %v", g.Queue.End, err)
	}
	g, _, err = parse(t, "hidden", "--reason", "why", "shop", "out.csv")
	if want := (endCmd{Reason: "why", Name: "shop", File: "out.csv"}); err != nil || g.Hidden != want {
		t.Errorf("%+v, %v", g.Hidden, err)
	}
}

func TestFlagsOfTheRunningProgram(t *testing.T) {
	t.Parallel()
	g, _, err := parse(t, "serve", "--data-dir", "/x", "--demo", "--deep-down=1")
	if want := map[string]string{"data-dir": "/x", "deep-down": "1"}; err != nil || !maps.Equal(g.Serve.values, want) || !g.Serve.Demo {
		t.Errorf("%+v, %v", g.Serve, err)
	}
	if _, _, err = parse(t, "serve", "--data-dir=bad"); err == nil || err.Error() != "--data-dir: it is bad" {
		t.Error(err)
	}
}

func TestMistakesSayWhatWasMeant(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"queu":                      `unexpected argument queu, did you mean "queue"?`,
		"queue lst":                 `unexpected argument lst, did you mean "list"?`,
		"queue ilst":                `unexpected argument ilst, did you mean "list"?`,
		"queue nonsense":            `unexpected argument nonsense`,
		"queue":                     `a command is missing: list, end`,
		"queue list --limt 3":       `unknown flag --limt, did you mean "--limit"?`,
		"queue list --jsno":         `unknown flag --jsno, did you mean "--json"?`,
		"queue list --o":            `unknown flag --o, did you mean one of "--on", "--off"?`,
		"queue list --secre":        `unknown flag --secre`,
		"queue list --far-from-all": `unknown flag --far-from-all`,
		"queue list -x":             `unknown flag -x`,
		"queue list -fx":            `unknown flag -x`,
		"queue list --limit":        `--limit needs a value: --limit=50`,
		"queue list --limit -3":     `--limit needs a value; if it is "-3", write --limit=-3`,
		"queue list --to --json":    `--to needs a value; if it is "--json", write --to=--json`,
		"queue list --limit many":   `--limit: "many" is no number`,
		"queue list --limit 99999999999999999999": `--limit: the number "99999999999999999999" is too large`,
		"queue list --share x":                    `--share: "x" is no number`,
		"queue list --wait soon":                  `--wait: "soon" is no duration, such as 90s or 2h`,
		"queue list --json=maybe":                 `--json: "maybe" is neither true nor false`,
		"queue list --no-sandbox=true":            `--no-sandbox takes no value`,
		"queue list --no-json":                    `unknown flag --no-json`,
		"queue list --metadata a":                 `--metadata: "a" is not NAME=VALUE`,
		"queue list --state held,lost":            `--state: "lost" is not one of "queued", "held", "gone"`,
		"queue list --kind x":                     `--kind: "x" is not one of "", "bulk"`,
		"queue list --day sun":                    `--day: no day`,
		"queue list --on --off":                   `--on and --off cannot both be given`,
		"queue end":                               `missing arguments: <name>`,
		"queue end shop":                          `missing flags: --reason=STRING`,
		"queue end --reason=x a b c":              `unexpected argument c`,
		"serve now":                               `unexpected argument now`,
		"--version":                               `unknown flag --version`,
	} {
		_, c, err := parse(t, strings.Fields(line)...)
		if err == nil || err.Error() != want || c == nil {
			t.Errorf("%q: %v, want %s", line, err, want)
		}
	}
}

func TestHelpIsOfTheCommandThatIsNamed(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"--help": "prog", "queue -h": "prog queue", "queue list --help --json": "prog queue list", "--help queue end": "prog queue end", "queue list -fh": "prog queue list",
	} {
		_, c, err := parse(t, strings.Fields(line)...)
		if !errors.Is(err, command.ErrHelp) || c.Path() != want {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestHelpTexts(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"--help": `Usage: prog <command>

A program.

Flags:
  -h, --help    Show context-sensitive help.

Commands:
  queue list    List them all, one after the other, until
                the line is full and a second one is needed.
  queue end     End one.
  serve         Serve.

Run "prog <command> --help" for more information on a command.
`,
		"queue list --help": `Usage: prog queue list [<id> ...] [flags]

List them all, one after the other, until the line is full
and a second one is needed.

Arguments:
  [<id> ...]    Ids.

Flags:
  -h, --help                   Show context-sensitive help.

      --json                   Print JSON.
  -f, --follow                 Go on.
      --state=STATE,...        States.
      --to=ADDRESS             Recipients.
      --metadata=NAME=VALUE    Pairs.
      --limit=50               How many.
      --share=FLOAT64          A share.
      --wait=3m                How long.
      --day=WEEKDAY            A day.
      --label=LABEL            A label.
      --[no-]sandbox           Whether it is one.
      --kind=""                A kind.
      --on                     On.
      --off                    Off.
`,
		"queue end --help": `Usage: prog queue end --reason=STRING <name> [<file>]

End one.

Ends it.

  as typed here

And more.

Arguments:
  <name>      Whose.
  [<file>]    Where to.

Flags:
  -h, --help             Show context-sensitive help.

      --reason=STRING    Why.
`,
		"serve --help": `Usage: prog serve [flags]

Serve.

Flags:
  -h, --help    Show context-sensitive help.

      --demo    A demo.

Keys
  --data-dir=TEXT    A key.
`,
	} {
		_, c, err := parse(t, strings.Fields(line)...)
		if !errors.Is(err, command.ErrHelp) {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := c.WriteHelp(&b, 60); err != nil || b.String() != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", line, err, &b, want)
		}
	}
}

func TestWidthIsWhatTheEnvironmentSays(t *testing.T) {
	t.Parallel()
	for columns, want := range map[string]int{"120": 120, "": 80, "-1": 80, "wide": 80} {
		if got := command.Width(io.Discard, columns); got != want {
			t.Errorf("%q: %d, want %d", columns, got, want)
		}
	}
}

func TestGrammarsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]any{
		"no struct":                     new(int),
		"a struct, and not its pointer": struct{}{},
		"the same flag twice": &struct {
			A, B string `name:"a"`
		}{},
		"a flag that is --help":      &struct{ Help bool }{},
		"a type that cannot be read": &struct{ A chan int }{},
		"an argument after all": &struct {
			A []string `arg:""`
			B string   `arg:""`
		}{},
		"one that must after one that may": &struct {
			A string `arg:"" optional:""`
			B string `arg:""`
		}{},
		"commands and arguments": &struct {
			A string   `arg:""`
			B struct{} `cmd:""`
		}{},
		"a command that is no struct": &struct {
			A string `cmd:""`
		}{},
	} {
		if _, err := command.New(g, "prog", ""); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{"queue list --json a", "queue list -fh", "--help", "queue end --reason=x -- -y", "serve --data-dir=bad", "queue list --state held,,\\,", "- -- -"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		_, c, err := parse(t, strings.Split(line, " ")...)
		if c == nil {
			t.Fatalf("%q: no command, %v", line, err)
		}
		if err := c.WriteHelp(io.Discard, len(line)); err != nil {
			t.Fatal(err)
		}
	})
}
