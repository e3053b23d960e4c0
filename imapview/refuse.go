package imapview

import (
	"context"

	"postrider/imapview/syntax"
)

// refuse answers what would change folders or add messages. The text is what a
// mail program shows its user.
func (c *conn) refuse(cmd syntax.Command) {
	text := "Postrider's folders are read-only: they show what became of your mail"
	switch cmd.Name {
	case "APPEND":
		text = "Postrider's folders are read-only: it files what it sends by itself. Keep copies of sent mail in another account, or not at all"
	case "COPY":
		text = "Postrider's folders are read-only: copy to a folder of another account"
	case "MOVE":
		text = "Postrider's folders are read-only: messages leave them by themselves when their time is over"
	case "CREATE", "DELETE", "RENAME":
		text = "Postrider's folders are read-only: they cannot be made, renamed or removed"
	case "SETACL", "DELETEACL":
		text = "Postrider's rights are fixed: whoever logs in may look, and mark as read"
	}
	c.no(cmd, "NOPERM", text)
}

// doExpunge is EXPUNGE and UID EXPUNGE: no message is ever \Deleted, so there is
// nothing to remove.
func (c *conn) doExpunge(ctx context.Context, cmd syntax.Command) {
	if c.box.readOnly {
		c.no(cmd, "READ-ONLY", "The folder is open for reading")
		return
	}
	c.finish(ctx, cmd, expungeToo, "", "Nothing was to be removed")
}

// doRights is MYRIGHTS, GETACL and LISTRIGHTS (RFC 4314): look, read, and keep
// \Seen.
func (c *conn) doRights(ctx context.Context, cmd syntax.Command) {
	name := cmd.Args.(syntax.Mailbox).Name
	if _, _, ok := c.open(ctx, cmd, name); !ok {
		return
	}
	rights := "lrs"
	if c.s.o.SeenOff {
		rights = "lr"
	}
	box := c.mailbox(name)
	switch cmd.Name {
	case "MYRIGHTS":
		c.out.say("* MYRIGHTS ", box, " ", rights, "\r\n")
	case "GETACL":
		c.out.say("* ACL ", box, " ", quoted(c.who.Account), " ", rights, "\r\n")
	case "LISTRIGHTS":
		c.out.say("* LISTRIGHTS ", box, " ", quoted(c.who.Account), " ", rights, "\r\n")
	}
	c.ok(cmd, "", "That is all")
}
