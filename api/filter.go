package api

import (
	"fmt"
	"strings"

	v1 "postrider/api/v1"
	"postrider/queue"
)

// filterOf reads a filter's texts.
func filterOf(v v1.Filter) (queue.Filter, error) {
	f := queue.Filter{
		Account: v.Account, Domain: strings.ToLower(v.Domain), Sender: v.Sender, Class: queue.Class(v.Class),
		From: v.From, Subject: v.Subject, MessageID: strings.Trim(v.MessageID, "<>"), Stream: v.Stream, Tag: v.Tag,
		Metadata: v.Metadata, Credential: v.Key,
	}
	for _, id := range v.IDs {
		if strings.HasPrefix(strings.ToLower(id), "rcp_") {
			r, err := queue.ParseRecipientID(id)
			if err != nil {
				return f, err
			}
			f.Recipients = append(f.Recipients, r)
			continue
		}
		m, err := queue.ParseMessageID(id)
		if err != nil {
			return f, err
		}
		f.Messages = append(f.Messages, m)
	}
	for _, name := range v.States {
		state, err := queue.ParseState(name)
		if err != nil {
			return f, fmt.Errorf("%w: state must be one of %s", ErrInvalid, strings.Join(stateNames(), ", "))
		}
		f.States = append(f.States, state)
	}
	if v.Recipient != "" {
		a, err := queue.ParseAddress(v.Recipient)
		if err != nil {
			return f, err
		}
		f.Recipient = a.Fold().String()
	}
	if v.Since != nil {
		f.Since = *v.Since
	}
	if v.Until != nil {
		f.Until = *v.Until
	}
	return f, nil
}

func stateNames() []string {
	var names []string
	for _, s := range queue.States() {
		names = append(names, s.String())
	}
	return names
}
