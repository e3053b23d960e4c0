package syntax

// maxTag is how long a tag may be, as it is sent back.
const maxTag = 255

// command reads a tag, a name and what belongs to it.
func (p *parser) command() Command {
	tag := p.span(isTag)
	if tag == "" || len(tag) > maxTag || p.peek() != ' ' && len(p.line) > 0 {
		p.expected("tag")
		return Command{}
	}
	p.tag = tag
	if !p.more() {
		p.expected("command")
		return Command{}
	}
	p.sp()
	c := Command{Tag: tag, Name: p.word("command")}
	p.name = c.Name
	if c.Name == "UID" {
		c.UID = true
		p.sp()
		c.Name = p.word("command")
		p.name = c.Name
		if !takesUID(c.Name) {
			p.bad("no such command on UIDs")
		}
	}
	var known bool
	if c.Args, known = p.arguments(c.Name, c.UID); known {
		p.end()
	}
	return c
}

func takesUID(name string) bool {
	switch name {
	case "COPY", "EXPUNGE", "FETCH", "MOVE", "SEARCH", "STORE":
		return true
	}
	return false
}

// arguments reads what belongs to a command, and tells whether it is known.
func (p *parser) arguments(name string, uid bool) (args any, known bool) {
	switch name {
	case "CAPABILITY", "CHECK", "CLOSE", "IDLE", "LOGOUT", "NAMESPACE", "NOOP", "STARTTLS", "UNSELECT":
		return nil, true
	case "EXPUNGE":
		if !uid {
			return nil, true
		}
	}
	read := p.reader(name)
	if read == nil {
		return nil, false
	}
	p.sp()
	return read(), true
}

// reader is what reads the arguments of a command that has some.
func (p *parser) reader(name string) func() any {
	switch name {
	case "LOGIN":
		return p.login
	case "AUTHENTICATE":
		return p.authenticate
	case "ID":
		return p.id
	case "ENABLE":
		return p.enable
	case "SELECT", "EXAMINE":
		return p.selectMailbox
	case "LIST":
		return p.listMailboxes
	case "LSUB":
		return p.lsub
	case "XLIST":
		return p.xlist
	case "STATUS":
		return p.status
	case "FETCH":
		return p.fetch
	case "STORE":
		return p.store
	case "SEARCH":
		return p.search
	case "COPY", "MOVE":
		return p.copy
	case "EXPUNGE":
		return func() any { return Expunge{Set: p.set()} }
	case "SUBSCRIBE", "UNSUBSCRIBE", "DELETE", "GETACL", "MYRIGHTS":
		return func() any { return p.oneMailbox() }
	case "CREATE":
		return p.create
	case "RENAME":
		return p.rename
	case "SETACL":
		return p.setACL
	case "DELETEACL", "LISTRIGHTS":
		return p.identifierACL
	case "APPEND":
		return p.appendMessage
	}
	return nil
}
