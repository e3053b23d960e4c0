module postrider.test/sdk

go 1.26.8

require (
	github.com/mailgun/mailgun-go/v5 v5.17.0
	github.com/mrz1836/postmark v1.7.4
	github.com/resend/resend-go/v3 v3.16.0
	github.com/sendgrid/sendgrid-go v3.16.1+incompatible
)

require (
	github.com/google/uuid v1.6.0 // indirect
	github.com/oapi-codegen/runtime v1.4.2 // indirect
	github.com/sendgrid/rest v2.6.9+incompatible // indirect
)
