package bounce

import (
	"bufio"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/queue"
)

//go:embed rules/*.txt
var builtIn embed.FS

// builtInFiles in the order in which they are asked. All but the last are
// about providers.
var builtInFiles = []string{"google", "outlook", "yahoo", "icloud", "gateways", "regional", "generic"}

// RuleFile describes the format of rules, for whoever writes some.
const RuleFile = `# Rules that give a failed attempt its class. The first that matches wins; those
# in this file come before the built-in ones.
#
#   name | class | codes | stages | enhanced | do | text
#
# A line in brackets says whose mail servers the rules below it are about:
# [google] a provider, [example.net mx.example.org] the hosts below these
# domains, [*] all.
#
# codes, stages  lists with commas, "*" for any; 4xx and 5xx stand for all such
# enhanced       list of subject.detail such as 1.1 or 7.*; "*" for any or none
# do             stop, retry, tries=3, age=24h, wait=30m, slow, pause=2h
# text           regular expression (RE2) in lower case, matched against
#                "code enhanced text" with all lines joined; empty for any
`

// parseRules reads rules; name is for errors.
func parseRules(name string, r io.Reader) ([]rule, error) {
	var rules []rule
	var in []scope
	sc := bufio.NewScanner(r)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var err error
		var ru rule
		switch {
		case strings.HasPrefix(line, "["):
			in, err = parseScopes(line)
		case in == nil:
			err = errors.New("say first whose hosts the rules are about: [*] for all")
		default:
			if ru, err = parseRule(line); err == nil {
				ru.file, ru.line = name, n
				err = checkAlone(&ru)
			}
			for _, s := range in {
				ru.scope = s
				rules = append(rules, ru)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return rules, checkTogether(name, rules)
}

// parseScopes reads "[google outlook]" or "[example.net]".
func parseScopes(line string) ([]scope, error) {
	inner, ok := strings.CutSuffix(line[1:], "]")
	words := strings.FieldsFunc(inner, func(r rune) bool { return r == ' ' || r == ',' })
	if !ok || len(words) == 0 {
		return nil, errors.New("want [*], [provider] or [domain of mail servers] alone on the line")
	}
	var all []scope
	var hosts scope
	for _, w := range words {
		switch {
		case w == "*":
			all = append(all, scope{})
		case !strings.Contains(w, "."):
			if !slices.ContainsFunc(queue.Providers(), func(p queue.Provider) bool { return p.Key == w }) {
				return nil, fmt.Errorf("there is no provider %q: the rules below would never match; known are %s", w, providerKeys())
			}
			all = append(all, scope{provider: w})
		case strings.HasSuffix(w, "."):
			return nil, fmt.Errorf("%q ends with a dot, which host names do not: write %s", w, strings.TrimRight(w, "."))
		case strings.HasPrefix(w, ".") || strings.HasPrefix(w, "*."):
			return nil, fmt.Errorf("%q: a domain stands for all hosts below it: write %s", w, strings.TrimLeft(w, "*."))
		case w != strings.ToLower(w) || strings.ContainsAny(w, "*@/:"):
			return nil, fmt.Errorf("%q is no domain in lower case", w)
		default:
			hosts.domains = append(hosts.domains, w)
		}
	}
	if len(hosts.domains) > 0 {
		all = append(all, hosts)
	}
	return all, nil
}

func providerKeys() string {
	var keys []string
	for _, p := range queue.Providers() {
		keys = append(keys, p.Key)
	}
	return strings.Join(keys, ", ")
}

func parseRule(line string) (rule, error) {
	cols := strings.SplitN(line, "|", 7)
	if len(cols) != 7 {
		return rule{}, fmt.Errorf("%d columns: want name | class | codes | stages | enhanced | do | text", len(cols))
	}
	for i := range cols {
		cols[i] = strings.TrimSpace(cols[i])
	}
	ru := rule{name: cols[0], class: queue.Class(cols[1])}
	if ru.name == "" || strings.ContainsAny(ru.name, " \t") {
		return rule{}, fmt.Errorf("name %q: want one word", ru.name)
	}
	if _, known := policies[ru.class]; !known {
		return rule{}, fmt.Errorf("unknown class %q", ru.class)
	}
	var err error
	if ru.codes, err = parseList(cols[2], isCode, "code"); err != nil {
		return rule{}, err
	}
	stages, err := parseList(cols[3], isStage, "stage")
	if err != nil {
		return rule{}, err
	}
	for _, s := range stages {
		ru.stages = append(ru.stages, queue.Stage(s))
	}
	if ru.enhanced, err = parseList(cols[4], isDetail, "enhanced code"); err != nil {
		return rule{}, err
	}
	if ru.do, err = parseDeed(cols[5]); err != nil {
		return rule{}, err
	}
	if text := cols[6]; text != "" {
		if ru.text, err = regexp.Compile("(?s)" + text); err != nil {
			return rule{}, err
		}
		ru.needs = needed(text)
	}
	return ru, nil
}

// parseList reads a column; "*" is the empty list, which matches anything.
func parseList(col string, valid func(string) bool, what string) ([]string, error) {
	if col == "*" {
		return nil, nil
	}
	list := strings.Split(col, ",")
	for i, v := range list {
		list[i] = strings.TrimSpace(v)
		if !valid(list[i]) {
			return nil, fmt.Errorf("%q is no %s", list[i], what)
		}
	}
	return list, nil
}

func isCode(s string) bool {
	if s == "4xx" || s == "5xx" {
		return true
	}
	n, err := strconv.Atoi(s)
	return err == nil && n >= 400 && n < 600
}

func isDetail(s string) bool {
	if subject, ok := strings.CutSuffix(s, ".*"); ok {
		s = subject + ".0"
	}
	_, ok := queue.ParseEnhanced("5." + s)
	return ok
}

func isStage(s string) bool {
	return slices.Contains([]queue.Stage{
		queue.StageRoute, queue.StageSign, queue.StageConnect, queue.StageTLS, queue.StageGreeting,
		queue.StageEhlo, queue.StageAuth, queue.StageMail, queue.StageRcpt, queue.StageData,
		queue.StageBody, queue.StageDot,
	}, queue.Stage(s))
}

func parseDeed(col string) (deed, error) {
	var d deed
	for _, word := range strings.Fields(col) {
		name, value, valued := strings.Cut(word, "=")
		var err error
		switch {
		case word == "stop":
			d.stop = true
		case word == "retry":
			d.retry = true
		case word == "slow":
			d.slow = true
		case word == "unknown":
			d.unknown = true
		case !valued:
			err = fmt.Errorf("%q: want stop, retry, tries=, age=, wait=, slow or pause=", word)
		case name == "tries":
			d.limited = true
			if d.maxTries, err = strconv.Atoi(value); err != nil || d.maxTries < 1 {
				err = fmt.Errorf("%q: want a number of tries", word)
			}
		case name == "age":
			d.limited = true
			d.maxAge, err = parseSpan(word, value)
		case name == "wait":
			d.wait, err = parseSpan(word, value)
		case name == "pause":
			d.pause, err = parseSpan(word, value)
		default:
			err = fmt.Errorf("%q: want stop, retry, tries=, age=, wait=, slow or pause=", word)
		}
		if err != nil {
			return deed{}, err
		}
	}
	return d, nil
}

func parseSpan(word, value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 || d > maxSpan {
		return 0, fmt.Errorf("%q: want a time such as 30m or 24h, of at most %v", word, maxSpan)
	}
	return d, nil
}

const maxSpan = 7 * day

// builtInRules reads what is built in.
func builtInRules() ([]rule, error) {
	var all []rule
	for _, name := range builtInFiles {
		path := "rules/" + name + ".txt"
		f, err := builtIn.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open built-in rules: %w", err)
		}
		rules, err := parseRules(path, f)
		f.Close()
		if err != nil {
			return nil, err
		}
		all = append(all, rules...)
	}
	return all, checkNames(all)
}

// ownRules reads an operator's file.
func ownRules(path string) ([]rule, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open bounce rules: %w", err)
	}
	defer f.Close()
	rules, err := parseRules(path, f)
	if err != nil {
		return nil, err
	}
	return rules, checkNames(rules)
}
