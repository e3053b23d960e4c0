"""Reads messages with Python's email package and prints what it finds as JSON.

Standard input: for each message its length in octets on a line, then its octets.
Standard output: one JSON object a line.
"""

import base64
import email
import json
import sys
from email import errors, policy


def boxes(message, name):
    return [
        {"name": a.display_name, "local": a.username, "domain": a.domain}
        for value in message.get_all(name, [])
        for a in value.addresses
    ]


def shape(part):
    kind = part.get_content_type()
    if part.is_multipart() and kind.startswith("multipart/"):
        return kind + "(" + ",".join(shape(p) for p in part.get_payload()) + ")"
    return kind


def leaves(part):
    if part.is_multipart() and part.get_content_type().startswith("multipart/"):
        for p in part.get_payload():
            yield from leaves(p)
    else:
        yield part


def content(part):
    if part.get_content_maintype() == "message":
        return part.get_payload(0).as_bytes()
    return part.get_payload(decode=True)


def read(octets):
    # A header may hold UTF-8 (RFC 6532), which only the parser of strings takes.
    message = email.message_from_string(octets.decode("utf-8"), policy=policy.default)
    defects = [repr(d) for p in message.walk() for d in p.defects]
    for p in message.walk():
        for name, value in p.items():
            defects += [name + ": " + repr(d) for d in value.defects if not isinstance(d, errors.NonASCIILocalPartDefect)]
    return {
        "from": boxes(message, "from"),
        "sender": boxes(message, "sender"),
        "reply_to": boxes(message, "reply-to"),
        "to": boxes(message, "to"),
        "cc": boxes(message, "cc"),
        "bcc": boxes(message, "bcc"),
        "subject": str(message["subject"]),
        "message_id": str(message["message-id"]),
        "headers": [[k, str(v)] for k, v in message.items() if k.lower().startswith("x-")],
        "shape": shape(message),
        "parts": [
            {
                "type": p.get_content_type(),
                "filename": p.get_filename() or "",
                "disposition": p.get_content_disposition() or "",
                "cid": str(p.get("content-id", "")),
                "content": base64.b64encode(content(p)).decode(),
            }
            for p in leaves(message)
        ],
        "defects": defects,
    }


def main():
    source = sys.stdin.buffer
    for line in iter(source.readline, b""):
        json.dump(read(source.read(int(line))), sys.stdout)
        print()


main()
