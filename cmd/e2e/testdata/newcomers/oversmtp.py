import os
import smtplib
import sys
from email.message import EmailMessage

message = EmailMessage()
message["From"], message["To"], message["Subject"] = sys.argv[1], sys.argv[2], "First mail"
message.set_content("Hello!\n")
with smtplib.SMTP("127.0.0.1", int(os.environ.get("MAIL_PORT", "2525"))) as relay:
    relay.login("shop", os.environ["MAIL_PASSWORD"])
    relay.send_message(message)
print("sent")
