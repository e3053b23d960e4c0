package imapview

import (
	"context"
	"errors"
	"log/slog"

	"postrider/imapview/syntax"
)

// do answers a command that could be read.
func (c *conn) do(ctx context.Context, cmd syntax.Command) {
	if c.doAlways(ctx, cmd) {
		return
	}
	if !c.loggedIn() {
		c.doStranger(ctx, cmd)
		return
	}
	if c.doLoggedIn(ctx, cmd) {
		return
	}
	if !isSelectedOnly(cmd.Name) {
		c.bad(cmd, "There is no such command")
		return
	}
	if c.box == nil {
		c.bad(cmd, "SELECT a folder first")
		return
	}
	c.doSelected(ctx, cmd)
}

// doAlways answers what is allowed in any state.
func (c *conn) doAlways(ctx context.Context, cmd syntax.Command) bool {
	switch cmd.Name {
	case "CAPABILITY":
		c.out.say("* CAPABILITY ", c.capabilities(), "\r\n")
		c.ok(cmd, "", "That is all")
	case "NOOP":
		c.finish(ctx, cmd, expungeToo, "", "Nothing done")
	case "LOGOUT":
		c.bye("Good-bye")
		c.ok(cmd, "", "Logged out")
	case "ID":
		c.doID(cmd)
	default:
		return false
	}
	return true
}

// doStranger answers what comes before the login.
func (c *conn) doStranger(ctx context.Context, cmd syntax.Command) {
	switch cmd.Name {
	case "STARTTLS":
		c.doStartTLS(ctx, cmd)
	case "LOGIN":
		c.doLogin(ctx, cmd)
	case "AUTHENTICATE":
		c.doAuthenticate(ctx, cmd)
	default:
		c.bad(cmd, "Log in first")
	}
}

func (c *conn) doLoggedIn(ctx context.Context, cmd syntax.Command) bool {
	switch cmd.Name {
	case "LOGIN", "AUTHENTICATE", "STARTTLS":
		c.bad(cmd, "You are logged in already")
	case "ENABLE":
		c.doEnable(cmd)
	case "NAMESPACE":
		c.doNamespace(cmd)
	case "SELECT", "EXAMINE":
		c.doSelect(ctx, cmd)
	case "STATUS":
		c.doStatus(ctx, cmd)
	case "LIST", "LSUB", "XLIST":
		c.doList(ctx, cmd)
	case "SUBSCRIBE", "UNSUBSCRIBE":
		c.doSubscribe(ctx, cmd)
	case "IDLE":
		c.doIdle(ctx, cmd)
	case "GETACL", "MYRIGHTS", "LISTRIGHTS":
		c.doRights(ctx, cmd)
	case "APPEND", "CREATE", "DELETE", "RENAME", "SETACL", "DELETEACL":
		c.refuse(cmd)
	default:
		return false
	}
	return true
}

func isSelectedOnly(name string) bool {
	switch name {
	case "CHECK", "CLOSE", "UNSELECT", "EXPUNGE", "FETCH", "STORE", "SEARCH", "COPY", "MOVE":
		return true
	}
	return false
}

func (c *conn) doSelected(ctx context.Context, cmd syntax.Command) {
	switch cmd.Name {
	case "CHECK":
		c.finish(ctx, cmd, expungeToo, "", "All is as it should be")
	case "CLOSE", "UNSELECT":
		c.box = nil
		c.ok(cmd, "", "Closed")
	case "EXPUNGE":
		c.doExpunge(ctx, cmd)
	case "FETCH":
		c.doFetch(ctx, cmd)
	case "STORE":
		c.doStore(ctx, cmd)
	case "SEARCH":
		c.doSearch(ctx, cmd)
	case "COPY", "MOVE":
		c.refuse(cmd)
	}
}

// doBad answers a command that could not be read, or not with reason.
func (c *conn) doBad(e *syntax.Error) {
	switch {
	case e.Name == "APPEND" && c.loggedIn():
		c.refuse(syntax.Command{Tag: e.Tag, Name: e.Name})
	case e.Tag == "":
		c.out.say("* BAD ")
		c.text(e.Code, e.Text)
	default:
		c.tagged(e.Tag, "BAD", e.Code, e.Text)
	}
}

// tagged ends a command. A code goes in brackets in front of the text.
func (c *conn) tagged(tag, state, code, text string) {
	c.out.say(tag, " ", state, " ")
	c.text(code, text)
}

func (c *conn) text(code, text string) {
	if code != "" {
		c.out.say("[", code, "] ")
	}
	c.out.say(text, "\r\n")
}

func (c *conn) ok(cmd syntax.Command, code, text string) { c.tagged(cmd.Tag, "OK", code, text) }
func (c *conn) no(cmd syntax.Command, code, text string) { c.tagged(cmd.Tag, "NO", code, text) }
func (c *conn) bad(cmd syntax.Command, text string)      { c.tagged(cmd.Tag, "BAD", "", text) }

// trouble answers a command that we failed at.
func (c *conn) trouble(cmd syntax.Command, err error) {
	if !errors.Is(err, context.Canceled) {
		c.log(slog.LevelWarn, "command failed", err, "command", cmd.Name)
	}
	c.no(cmd, "UNAVAILABLE", "That cannot be done now, try again later")
}
