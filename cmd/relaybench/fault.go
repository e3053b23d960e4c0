package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"postrider/relay/smtpsim"
)

const faultHelp = "tempfail, permfail, 421, drop, reset, stall, losereply, delay(DURATION)"

// parseFault reads STAGE:ACTION or STAGE:ACTION=SHARE%, such as
// dot:tempfail=1% or rcpt:delay(200ms)=5%.
func parseFault(spec string) (smtpsim.Rule, error) {
	fail := func(format string, args ...any) (smtpsim.Rule, error) {
		return smtpsim.Rule{}, fmt.Errorf("fault %q: %s", spec, fmt.Sprintf(format, args...))
	}
	stageName, rest, found := strings.Cut(spec, ":")
	if !found {
		return fail("write STAGE:ACTION=SHARE%%")
	}
	stage, err := smtpsim.ParseStage(stageName)
	if err != nil {
		return fail("%v", err)
	}
	r := smtpsim.Rule{Name: spec, Stage: stage}
	action, share, found := strings.Cut(rest, "=")
	if found {
		number, percent := strings.CutSuffix(share, "%")
		p, err := strconv.ParseFloat(number, 64)
		if err != nil || !percent || !(p > 0 && p <= 100) {
			return fail("%q is no share; write one like 0.5%%", share)
		}
		r.Probability = p / 100
	}
	switch {
	case action == "tempfail":
		r.Do = smtpsim.Do(smtpsim.Reply(451, "4.3.0", "Induced temporary failure"))
	case action == "permfail":
		r.Do = smtpsim.Do(smtpsim.Reply(554, "5.3.0", "Induced permanent failure"))
	case action == "421":
		r.Do = smtpsim.Do(smtpsim.Reply(421, "4.3.2", "Induced shutdown"))
	case action == "drop":
		r.Do = smtpsim.Do(smtpsim.Drop())
	case action == "reset":
		r.Do = smtpsim.Do(smtpsim.Reset())
	case action == "stall":
		r.Do = smtpsim.Do(smtpsim.Stall())
	case action == "losereply" && stage == smtpsim.Dot:
		r.Do = smtpsim.Do(smtpsim.LoseReply())
	case action == "losereply":
		return fail("losereply is for the dot")
	case strings.HasPrefix(action, "delay(") && strings.HasSuffix(action, ")"):
		d, err := time.ParseDuration(action[len("delay(") : len(action)-1])
		if err != nil || d < 0 {
			return fail("%q is no delay; write one like delay(200ms)", action)
		}
		r.Do = smtpsim.Do(smtpsim.Delay(d))
	default:
		return fail("unknown action %q: one of %s", action, faultHelp)
	}
	return r, nil
}

func parseFaults(specs []string) ([]smtpsim.Rule, error) {
	var rules []smtpsim.Rule
	for _, spec := range specs {
		r, err := parseFault(spec)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}
