package bounce

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"postrider/queue"
)

//go:embed rules.txt
var genericRules string

// rule is one line of a rule file.
type rule struct {
	line     int
	class    queue.Class
	codes    []string
	stages   []queue.Stage
	enhanced []string // "subject.detail"
	text     *regexp.Regexp
}

// The text is matched in lower case: patterns are written so, which spares the
// costly folding inside the expression.

// parseRules reads a rule file; name is for errors.
func parseRules(name string, r io.Reader) ([]rule, error) {
	var rules []rule
	sc := bufio.NewScanner(r)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		ru, err := parseRule(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		ru.line = n
		rules = append(rules, ru)
	}
	return rules, sc.Err()
}

func parseRule(line string) (rule, error) {
	cols := strings.SplitN(line, "|", 5)
	if len(cols) != 5 {
		return rule{}, fmt.Errorf("%d columns: want class | codes | stages | enhanced | text", len(cols))
	}
	ru := rule{class: queue.Class(strings.TrimSpace(cols[0]))}
	if _, known := policies[ru.class]; !known {
		return rule{}, fmt.Errorf("unknown class %q", ru.class)
	}
	var err error
	if ru.codes, err = parseList(cols[1], isCode, "code"); err != nil {
		return rule{}, err
	}
	stages, err := parseList(cols[2], isStage, "stage")
	if err != nil {
		return rule{}, err
	}
	for _, s := range stages {
		ru.stages = append(ru.stages, queue.Stage(s))
	}
	if ru.enhanced, err = parseList(cols[3], isDetail, "enhanced code"); err != nil {
		return rule{}, err
	}
	if text := strings.TrimSpace(cols[4]); text != "" {
		if ru.text, err = regexp.Compile("(?s)" + text); err != nil {
			return rule{}, err
		}
	}
	return ru, nil
}

// parseList reads a column; "*" is the empty list, which matches anything.
func parseList(col string, valid func(string) bool, what string) ([]string, error) {
	col = strings.TrimSpace(col)
	if col == "*" {
		return nil, nil
	}
	list := strings.Split(col, ",")
	for _, v := range list {
		if !valid(v) {
			return nil, fmt.Errorf("%q is no %s", v, what)
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

func (ru *rule) matches(stage queue.Stage, code, wild, detail, text string) bool {
	switch {
	case ru.codes != nil && !slices.Contains(ru.codes, code) && !slices.Contains(ru.codes, wild):
		return false
	case ru.stages != nil && !slices.Contains(ru.stages, stage):
		return false
	case ru.enhanced != nil && !slices.Contains(ru.enhanced, detail):
		return false
	}
	return ru.text == nil || ru.text.MatchString(text)
}
