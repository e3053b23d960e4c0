package send

import (
	"context"
	"fmt"
	"strings"

	"postrider/api/compose"
	"postrider/api/unsubscribe"
)

// placeholder in the texts of a message becomes its unsubscribe link.
const placeholder = "{{unsubscribe_url}}"

// offerLeave writes the way out into the message.
func (d *Desk) offerLeave(ctx context.Context, p *prepared) error {
	var fields []compose.Field
	if p.offer.Mode != unsubscribe.None {
		link, err := d.link(ctx, p)
		if err != nil {
			return err
		}
		fields = append(fields,
			compose.Field{Name: "List-Unsubscribe", Value: p.offer.ListUnsubscribe(link)},
			compose.Field{Name: "List-Unsubscribe-Post", Value: unsubscribe.Post})
		if p.message != nil {
			p.message.Text = strings.ReplaceAll(p.message.Text, placeholder, link)
			p.message.HTML = strings.ReplaceAll(p.message.HTML, placeholder, strings.ReplaceAll(link, "&", "&amp;"))
		}
	}
	if p.listID {
		fields = append(fields, compose.Field{Name: "List-Id", Value: "<" + p.labels.List + "." + d.domainOf(p.from) + ">"})
	}
	if p.message != nil {
		p.message.Fields = append(p.message.Fields, fields...)
	} else {
		p.raw.prepend(compose.WriteFields(fields))
	}
	return nil
}

func (d *Desk) link(ctx context.Context, p *prepared) (string, error) {
	if p.offer.Mode == unsubscribe.Custom {
		return p.offer.URL, nil
	}
	link, err := d.o.Linker.Link(ctx, unsubscribe.Claim{
		Account: p.caller.Account, List: p.labels.List, Recipient: p.to[0].Address, Message: p.id,
	})
	if err != nil {
		return "", fmt.Errorf("make unsubscribe link: %w", err)
	}
	return link, nil
}
