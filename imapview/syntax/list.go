package syntax

// listMailboxes reads LIST as RFC 5258 §6 has it. Options that are not known are
// wrong (§3).
func (p *parser) listMailboxes() any {
	var l List
	if p.peek() == '(' {
		l.Extended = true
		p.selection(&l)
		p.sp()
	}
	l.Reference = p.mailbox()
	p.sp()
	if p.peek() == '(' {
		l.Extended = true
		p.list(func() {
			if len(l.Patterns) == maxPatterns {
				p.bad("too many patterns")
			}
			l.Patterns = append(l.Patterns, p.pattern())
		})
		if len(l.Patterns) == 0 {
			p.expected("pattern")
		}
	} else {
		l.Patterns = []string{p.pattern()}
	}
	if p.more() {
		p.sp()
		l.Extended = true
		p.returned(&l)
	}
	return l
}

func (p *parser) selection(l *List) {
	p.list(func() {
		switch p.word("option") {
		case "SUBSCRIBED":
			l.OnlySubscribed = true
		case "RECURSIVEMATCH":
			l.RecursiveMatch = true
		case "REMOTE":
			l.Remote = true
		case "SPECIAL-USE":
			l.OnlySpecialUse = true
		default:
			p.bad("no such selection option")
		}
	})
	// RFC 5258 §3.1: it says how others match.
	if l.RecursiveMatch && !l.OnlySubscribed && !l.OnlySpecialUse {
		p.bad("RECURSIVEMATCH goes with another option")
	}
}

func (p *parser) returned(l *List) {
	if p.word("RETURN") != "RETURN" {
		p.expected("RETURN")
	}
	p.sp()
	p.list(func() {
		switch p.word("option") {
		case "SUBSCRIBED":
			l.ReturnSubscribed = true
		case "CHILDREN":
			l.ReturnChildren = true
		case "SPECIAL-USE":
			l.ReturnSpecialUse = true
		case "STATUS":
			p.sp()
			l.ReturnStatus = p.statusItems()
		default:
			p.bad("no such return option")
		}
	})
}

func (p *parser) pattern() string {
	return p.mailboxName(p.stringOr(isListChar, "pattern"))
}

func (p *parser) lsub() any {
	l := p.plainList()
	l.OnlySubscribed = true
	return l
}

// xlist reads the forerunner of RFC 6154.
func (p *parser) xlist() any {
	l := p.plainList()
	l.ReturnSpecialUse = true
	return l
}

func (p *parser) plainList() List {
	l := List{Reference: p.mailbox()}
	p.sp()
	l.Patterns = []string{p.pattern()}
	return l
}
