"""Reads and marks mail at random with imaplib and poplib until the time is over,
over many connections, and complains about what cannot be so."""
import email
import imaplib
import os
import poplib
import random
import sys
import threading
import time
import traceback

name, password = os.environ["NAME"], os.environ["PASSWORD"]
until = time.monotonic() + float(os.environ["SECONDS"])
folders = ["INBOX", "Queued", "Deferred", "Sent", "Bounced"]

guard = threading.Lock()
octets = {}  # (UIDVALIDITY, UID): hash
counts = {"imap": 0, "pop": 0, "messages": 0, "reconnects": 0}
faults = []


def count(what, n=1):
    with guard:
        counts[what] += n


def same(key, text):
    with guard:
        assert octets.setdefault(key, hash(text)) == hash(text), f"the octets of {key} have changed"


def number(data):
    """The UID that begins an answer of FETCH, and the sequence number."""
    words = data.replace(b")", b"").split()
    return int(words[0]), int(words[words.index(b"(UID") + 1])


class Reader:
    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.box = imaplib.IMAP4("127.0.0.1", int(os.environ["IMAP_PORT"]), timeout=60)
        self.box.login(name, password)
        self.select()

    def select(self):
        kind, data = self.box.select(self.dice.choice(folders), readonly=self.dice.random() < 0.2)
        assert kind == "OK", data
        self.validity = int(self.box.response("UIDVALIDITY")[1][-1])
        self.readonly = self.box.is_readonly

    def fetch(self, how, *what):
        """Fetches, and returns nothing at all where some are expunged already."""
        self.box.response("FETCH")  # what it was told by the way
        kind, data = how(*what)
        gone = self.box.response("EXPUNGEISSUED")[1] != [None]
        assert kind == "OK" or gone, data
        return [None] if gone else data

    def found(self, *keys):
        kind, data = self.box.uid("SEARCH", *keys)
        assert kind == "OK", data
        uids = [int(uid) for uid in (data[0] or b"").split()]
        assert uids == sorted(set(uids)), f"not ascending: {uids}"
        return uids

    def everything(self):
        """All messages by sequence number: without gaps, UIDs ascending."""
        if not self.found("ALL"):
            return
        data = self.fetch(self.box.fetch, "1:*", "(UID)")
        if data == [None]:
            return
        seen = sorted({number(line) for line in data if b"(UID" in line})
        assert [seq for seq, _ in seen] == list(range(1, len(seen) + 1)), f"there are gaps: {seen}"
        uids = [uid for _, uid in seen]
        assert uids == sorted(set(uids)), f"not ascending: {uids}"

    def read(self):
        for uid in self.dice.sample(uids := self.found("ALL"), min(len(uids), 5)):
            peek = "BODY.PEEK[]" if self.readonly or self.dice.random() < 0.8 else "BODY[]"
            data = self.fetch(self.box.uid, "FETCH", str(uid), f"(RFC822.SIZE ENVELOPE BODYSTRUCTURE {peek})")
            whole = [item for item in data if isinstance(item, tuple)]
            if not whole:
                continue
            text = whole[-1][1]
            size = int(data[0][0].split(b"RFC822.SIZE ")[1].split()[0])
            assert size == len(text), f"UID {uid} has {len(text)} octets and RFC822.SIZE {size}"
            same((self.validity, uid), text)
            assert email.message_from_bytes(text)["Subject"], text[:300]
            count("messages")

    def mark(self):
        uids = self.found(self.dice.choice(["ALL", "UNSEEN", "SEEN"]))
        if not uids or self.readonly:
            return
        some = ",".join(str(uid) for uid in self.dice.sample(uids, min(len(uids), 4)))
        kind, data = self.box.uid("STORE", some, self.dice.choice(["+FLAGS", "-FLAGS", "+FLAGS.SILENT"]), r"(\Seen)")
        assert kind == "OK", data

    def search(self):
        self.found(*self.dice.choice([("SUBJECT", "order"), ("UNSEEN", "FROM", "shop"), ("TEXT", "refused"), ("SINCE", "1-Jan-2026")]))

    def status(self):
        kind, data = self.box.status(self.dice.choice(folders), "(MESSAGES UIDNEXT UNSEEN)")
        assert kind == "OK", data

    def rest(self):
        self.box.noop()
        self.box.expunge()

    def step(self):
        self.dice.choice([self.everything, self.read, self.mark, self.search, self.status, self.rest, self.select])()
        count("imap")


def imap(seed):
    reader = None
    while time.monotonic() < until:
        if reader is None:
            reader = Reader(seed := seed + 1000)
            count("reconnects")
        reader.step()
        if reader.dice.random() < 0.03:
            if reader.dice.random() < 0.5:
                reader.box.logout()
            else:
                reader.box.shutdown()
            reader = None
    if reader:
        reader.box.logout()


def pop(seed):
    dice = random.Random(seed)
    while time.monotonic() < until:
        box = poplib.POP3("127.0.0.1", int(os.environ["POP3_PORT"]), timeout=60)
        box.user(name + dice.choice(["", "+sent", "+bounced"]))
        box.pass_(password)
        n, size = box.stat()
        ids = [line.split()[1].decode() for line in box.uidl()[1]]
        sizes = [int(line.split()[1]) for line in box.list()[1]]
        assert len(ids) == len(set(ids)) == len(sizes) == n and sum(sizes) == size, (n, size, ids, sizes)
        for i in dice.sample(range(n), min(n, 5)):
            try:
                lines = box.retr(i + 1)[1]
            except poplib.error_proto as e:
                assert b"removed meanwhile" in e.args[0], e
                continue
            text = b"\r\n".join(lines) + b"\r\n"
            assert len(text) == sizes[i], f"{ids[i]} has {len(text)} octets and LIST says {sizes[i]}"
            same(tuple(int(part, 16) for part in ids[i].split(".")), text)
            count("messages")
        box.quit()
        count("pop")
        time.sleep(0.2)


def guarded(run, seed):
    try:
        run(seed)
    except Exception:
        faults.append(traceback.format_exc())


threads = [threading.Thread(target=guarded, args=(imap, i)) for i in range(int(os.environ["IMAP_CONNECTIONS"]))]
threads += [threading.Thread(target=guarded, args=(pop, i)) for i in range(int(os.environ["POP3_CONNECTIONS"]))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for fault in faults:
    print("fault\t" + fault, flush=True)
print("did\t" + " ".join(f"{n} {what}" for what, n in counts.items()))
sys.exit(1 if faults else 0)
