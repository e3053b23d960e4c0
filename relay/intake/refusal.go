package intake

import (
	"fmt"
	"strings"

	"postrider/queue"
)

func refuse(kind queue.RefusalKind, code int, enhanced queue.Enhanced, problem, fix string) *queue.Refusal {
	return &queue.Refusal{Kind: kind, Code: code, Enhanced: enhanced, Problem: problem, Fix: fix}
}

func refuseDisabled(account, why string) *queue.Refusal {
	return refuse(queue.RefusedAccount, 550, queue.Enhanced{5, 7, 1},
		fmt.Sprintf("The account %s may not send: %s.", ascii(account), strings.TrimSuffix(ascii(why), ".")),
		"Ask the relay's operator to enable the account.")
}

func refuseUnknownAccount(account string) *queue.Refusal {
	return refuse(queue.RefusedAccount, 550, queue.Enhanced{5, 7, 1},
		fmt.Sprintf("The account %s does not exist any more.", ascii(account)),
		"Sign in with another account, or ask the relay's operator to create it.")
}

func refuseSender(account string, sender queue.Address, where string) *queue.Refusal {
	return refuse(queue.RefusedSender, 550, queue.Enhanced{5, 7, 1},
		fmt.Sprintf("The %s %s is not allowed for the account %s.", where, ascii(sender.String()), ascii(account)),
		"Use a sender of the account's own domains, or add this one to the allowed senders of the account and of the key.")
}

func refuseRecipient(a queue.Address) *queue.Refusal {
	return refuse(queue.RefusedRecipient, 550, queue.Enhanced{5, 7, 1},
		fmt.Sprintf("The key may not be used to send to %s.", ascii(a.String())),
		"Use another key, or add the address to this key's allowed recipients.")
}

func refuseCredential() *queue.Refusal {
	return refuse(queue.RefusedCredential, 550, queue.Enhanced{5, 7, 8}, "The key does not exist any more, or has expired.",
		"Sign in with another key.")
}

func refuseAuthors() *queue.Refusal {
	return refuse(queue.RefusedSender, 550, queue.Enhanced{5, 7, 1}, "The From field cannot be read, or there are several.",
		"Write one From field, such as From: Shop <shop@example.com>.")
}

// refuseStore maps the store's trouble to what a client may hear, or to nil.
func refuseStore(err error) *queue.Refusal {
	switch {
	case isFull(err):
		return refuse(queue.RefusedFull, 452, queue.Enhanced{4, 3, 1}, "The relay has no room for more mail at the moment.", "Try again later; the relay's operator must free disk space.")
	case isUnavailable(err):
		return refuse(queue.RefusedUnavailable, 451, queue.Enhanced{4, 3, 0}, "The relay cannot store mail at the moment.", "Try again later.")
	}
	return nil
}

// ascii keeps replies neutral: other letters become question marks, which
// clients without SMTPUTF8 can read (RFC 5321 §4.2).
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
