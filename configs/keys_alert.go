package configs

import (
	"path/filepath"
	"time"
)

// suppressionSection is what bounces do to the suppression list.
func suppressionSection() section {
	return section{"suppression", "Addresses that get no more mail. `postrider suppression` shows and changes the list.", []field[Config]{
		one(Key{Path: "suppression.bounces", Env: "POSTRIDER_SUPPRESSION_BOUNCES", Example: "true",
			Doc: "Whether bounces put addresses on the list, for the account whose mail bounced: at once if the mailbox or its domain does not exist, the third time within two weeks if the mailbox is full. Blocks of the sender and trouble on the way never do."},
			func(c *Config) *bool { return &c.Suppression.Bounces }, boolKind()),
		one(Key{Path: "suppression.expire", Env: "POSTRIDER_SUPPRESSION_EXPIRE", Example: "365d",
			Doc: "How long an address stays that one bounce put there. `off` is until somebody takes it off: providers turn mailboxes that are long dead into traps for spam."},
			func(c *Config) *time.Duration { return &c.Suppression.Expire }, optionalDurationKind()),
		one(Key{Path: "suppression.expire_soft", Env: "POSTRIDER_SUPPRESSION_EXPIRE_SOFT", Example: "90d",
			Doc: "How long an address stays that needed several bounces, such as those of a full mailbox. `off` is until somebody takes it off."},
			func(c *Config) *time.Duration { return &c.Suppression.ExpireSoft }, optionalDurationKind()),
	}}
}

// alertSection is who hears of trouble.
func alertSection() section {
	return section{"alert", "Who is told when a site blocks this relay, mail fails its authentication, a smart host refuses the login, port 25 is blocked, or an account's mail fails more than usual. The log is told in any case.", []field[Config]{
		one(Key{Path: "alert.address", Env: "POSTRIDER_ALERT_ADDRESS", Example: "postmaster@example.com",
			Doc: "Gets a mail for each cause. Choose a mailbox that does not depend on what may be broken."},
			func(c *Config) *string { return &c.Alert.Address }, addressKind()),
		many(Key{Path: "alert.command", Env: "POSTRIDER_ALERT_COMMAND", Example: `[/usr/local/bin/page, "--team", mail]`,
			Type: "full path of a program and its arguments",
			Doc:  "Is run for each cause, without a shell, with the text on its standard input and the facts in the environment as `POSTRIDER_ALERT_TITLE`, `_KIND`, `_CLASS`, `_SITE`, `_DOMAIN`, `_ADDRESS`, `_ACCOUNT`, `_REPLY`, `_RECIPIENTS` and others. It is ended after 20 seconds."},
			func(c *Config) *[]string { return &c.Alert.Command }, argumentKind()),
		one(Key{Path: "alert.every", Env: "POSTRIDER_ALERT_EVERY", Example: "1h",
			Doc: "Least time between two messages about one cause, from all nodes together."},
			func(c *Config) *time.Duration { return &c.Alert.Every }, durationBetween(minAlertEvery, maxAlertEvery)),
	}}
}

// Less would be noise, and more would forget what goes on.
const (
	minAlertEvery = time.Minute
	maxAlertEvery = 7 * 24 * time.Hour
)

// argumentKind is one word of a command.
func argumentKind() kind[string] {
	return textual("argument", func(s string) (string, error) {
		if hasControl(s) {
			return "", wrong("write each argument as an item of its own, in one line", "an argument has a control character")
		}
		return s, nil
	})
}

func (l *loader) checkAlert() {
	const key = "alert.command"
	if c := l.cfg.Alert.Command; len(c) > 0 && !filepath.IsAbs(c[0]) && !l.anyBroken(key) {
		l.refuse(key, c[0]+" is not the full path of a program", "write such as [/usr/local/bin/page, mail]: no shell looks for it")
	}
}
