"""What those do who read mail with imaplib; each step is told in a line."""
import imaplib
import os
import ssl
import sys

name, password, word = os.environ["NAME"], os.environ["PASSWORD"], os.environ["WORD"]


def tell(*words):
    print(*words, sep="\t", flush=True)


def login():
    box = imaplib.IMAP4("localhost", int(os.environ["PORT"]))
    box.starttls(ssl.create_default_context(cafile=os.environ["CERT"]))
    box.login(name, password)
    return box


def found(box, *criteria):
    kind, data = box.uid("SEARCH", *criteria)
    assert kind == "OK", (kind, data)
    return data[0].split()


def save(box, folder, since):
    """Saves what has a UID from since on, and returns the next one."""
    kind, data = box.select(folder)
    assert kind == "OK", (kind, data)
    uids = [uid for uid in found(box, "UID", f"{since}:*") if int(uid) >= since]
    for uid in uids:
        kind, data = box.uid("FETCH", uid, "(FLAGS BODY.PEEK[])")
        assert kind == "OK" and len(data) == 2, data
        with open(os.path.join(os.environ["DIR"], folder + "." + uid.decode()), "wb") as file:
            file.write(data[0][1])
    return int(uids[-1]) + 1 if uids else since, len(uids)


def attempt(what, answer):
    kind, data = answer
    tell(what, kind, (data[0] or b"").decode())


def wait(box):
    """IDLE, which this library has only in newer versions."""
    tag = box._new_tag()
    box.send(tag + b" IDLE\r\n")
    assert box.readline().startswith(b"+")
    tell("waiting")
    while b" EXISTS" not in (line := box.readline()):
        assert line.startswith(b"* "), line
    box.send(b"DONE\r\n")
    while not (line := box.readline()).startswith(tag):
        assert line.startswith(b"* "), line
    tell("woke", line.decode().split()[1])


if sys.argv[1:] == ["unread"]:
    box = login()
    box.select("INBOX", readonly=True)
    tell("unread", len(found(box, "UNSEEN")))
    sys.exit()

box = login()
folders = ("INBOX", "Queued", "Deferred", "Sent")
state = {folder: save(box, folder, 1)[0] for folder in folders}
tell("again", sum(save(box, folder, state[folder])[1] for folder in folders))

box.select("INBOX")
tell("subject", len(found(box, "SUBJECT", f'"{word}"')))
tell("recipient", len(found(box, "FROM", os.environ["RECIPIENT"])))
box.literal = "für".encode()
tell("utf8", len(found(box, "CHARSET", "UTF-8", "SUBJECT")))

first = found(box, "SUBJECT", f'"{word}"')[0]
attempt("mark", box.uid("STORE", first, "+FLAGS", r"(\Seen)"))
attempt("delete", box.uid("STORE", first, "+FLAGS", r"(\Deleted)"))
attempt("expunge", box.expunge())
attempt("copy", box.uid("COPY", first, "Sent"))
attempt("append", box.append("Sent", None, None, b"Subject: mine\r\n\r\nmine\r\n"))
attempt("create", box.create("Mine"))
tell("left", len(found(box, "ALL")))
wait(box)
tell("came", len(found(box, "SUBJECT", '"Order came"')))
box.close()
box.logout()
