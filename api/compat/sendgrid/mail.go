package sendgrid

import (
	"fmt"

	"postrider/api/compat"
	"postrider/api/compose"
	"postrider/queue"
)

// mail is the body of POST /v3/mail/send.
type mail struct {
	From             *address          `json:"from"`
	ReplyTo          *address          `json:"reply_to"`
	ReplyToList      []address         `json:"reply_to_list"`
	Personalizations []personalization `json:"personalizations"`
	Subject          compat.Text       `json:"subject"`
	Content          []body            `json:"content"`
	Attachments      []attachment      `json:"attachments"`
	Headers          compat.Pairs      `json:"headers"`
	Categories       compat.Texts      `json:"categories"`
	CustomArgs       compat.Pairs      `json:"custom_args"`
	SendAt           int64             `json:"send_at"`
	IPPoolName       compat.Text       `json:"ip_pool_name"`
	MailSettings     mailSettings      `json:"mail_settings"`
	TrackingSettings trackingSettings  `json:"tracking_settings"`

	TemplateID compat.Any `json:"template_id"`
	Sections   compat.Any `json:"sections"`
	BatchID    compat.Any `json:"batch_id"`
	ASM        compat.Any `json:"asm"`
}

type personalization struct {
	To            []address    `json:"to"`
	Cc            []address    `json:"cc"`
	Bcc           []address    `json:"bcc"`
	From          *address     `json:"from"`
	Subject       compat.Text  `json:"subject"`
	Headers       compat.Pairs `json:"headers"`
	Substitutions compat.Pairs `json:"substitutions"`
	CustomArgs    compat.Pairs `json:"custom_args"`
	Categories    compat.Texts `json:"categories"`
	SendAt        int64        `json:"send_at"`

	DynamicTemplateData compat.Any `json:"dynamic_template_data"`
}

type address struct {
	Email compat.Text `json:"email"`
	Name  compat.Text `json:"name"`
}

type body struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type attachment struct {
	Content     compat.Content `json:"content"`
	Type        compat.Text    `json:"type"`
	Filename    compat.Text    `json:"filename"`
	Disposition compat.Text    `json:"disposition"`
	ContentID   compat.Text    `json:"content_id"`
	NodeID      compat.Text    `json:"contentId"` // as Node's library writes what its types ask for
}

// setting is one of the many that can be turned on.
type setting struct {
	Enable compat.Flag `json:"enable"`
}

type mailSettings struct {
	SandboxMode                 setting `json:"sandbox_mode"`
	BCC                         setting `json:"bcc"`
	BypassListManagement        setting `json:"bypass_list_management"`
	BypassSpamManagement        setting `json:"bypass_spam_management"`
	BypassBounceManagement      setting `json:"bypass_bounce_management"`
	BypassUnsubscribeManagement setting `json:"bypass_unsubscribe_management"`
	Footer                      setting `json:"footer"`
	SpamCheck                   setting `json:"spam_check"`
}

type trackingSettings struct {
	ClickTracking        clicks  `json:"click_tracking"`
	OpenTracking         setting `json:"open_tracking"`
	SubscriptionTracking setting `json:"subscription_tracking"`
	GAnalytics           setting `json:"ganalytics"`
}

type clicks struct {
	Enable     compat.Flag `json:"enable"`
	EnableText compat.Flag `json:"enable_text"`
}

// supported refuses what the relay does not do.
func (m *mail) supported() error {
	for _, f := range []struct {
		asked         bool
		field, detail string
	}{
		{m.TemplateID.Given, "template_id", "is not supported: this relay has no templates. Send content."},
		{m.Sections.Given, "sections", "is not supported. Use substitutions."},
		{m.BatchID.Given, "batch_id", "is not supported. Cancel by the id of the message."},
		{m.ASM.Given, "asm", "is not supported: this relay has no unsubscribe groups. Use a stream or a List-Unsubscribe header."},
		{on(m.MailSettings.BCC), "mail_settings.bcc", "is not supported. Use bcc of the personalization."},
		{on(m.MailSettings.BypassListManagement), "mail_settings.bypass_list_management", bypass},
		{on(m.MailSettings.BypassSpamManagement), "mail_settings.bypass_spam_management", bypass},
		{on(m.MailSettings.BypassBounceManagement), "mail_settings.bypass_bounce_management", bypass},
		{on(m.MailSettings.BypassUnsubscribeManagement), "mail_settings.bypass_unsubscribe_management", bypass},
		{on(m.MailSettings.Footer), "mail_settings.footer", "is not supported. Write the footer into content."},
		{on(m.MailSettings.SpamCheck), "mail_settings.spam_check", "is not supported. Leave it out."},
		{bool(m.TrackingSettings.ClickTracking.Enable || m.TrackingSettings.ClickTracking.EnableText), "tracking_settings.click_tracking", untracked},
		{on(m.TrackingSettings.OpenTracking), "tracking_settings.open_tracking", untracked},
		{on(m.TrackingSettings.SubscriptionTracking), "tracking_settings.subscription_tracking", untracked},
		{on(m.TrackingSettings.GAnalytics), "tracking_settings.ganalytics", untracked},
	} {
		if f.asked {
			return compat.Unsupported(f.field, f.detail)
		}
	}
	for i, p := range m.Personalizations {
		if p.DynamicTemplateData.Given {
			return compat.Unsupported(fmt.Sprintf("personalizations.%d.dynamic_template_data", i), "is not supported: this relay has no templates. Use substitutions.")
		}
	}
	return nil
}

const (
	bypass    = "is not supported: the suppression list holds for all mail. Remove the address from it."
	untracked = "is not supported: this relay tracks nothing. Leave it out or disable it."
)

func on(s setting) bool { return bool(s.Enable) }

func (a address) mailbox(field string) (compose.Mailbox, error) {
	if a.Email == "" {
		return compose.Mailbox{}, compat.Refuse(field+".email", "required", "is missing.")
	}
	parsed, err := queue.ParseAddress(string(a.Email))
	if err != nil {
		return compose.Mailbox{}, compat.Refuse(field+".email", "invalid_address", "must be an address such as user@example.com.")
	}
	return compose.Mailbox{Name: string(a.Name), Address: parsed}, nil
}

func mailboxes(field string, list []address) ([]compose.Mailbox, error) {
	var all []compose.Mailbox
	for i, a := range list {
		m, err := a.mailbox(fmt.Sprintf("%s.%d", field, i))
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}
