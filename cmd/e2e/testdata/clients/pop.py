"""What those do who read mail with poplib; each step is told in a line."""
import os
import poplib
import ssl

known = set()


def tell(*words):
    print(*words, sep="\t", flush=True)


def login(user):
    context = ssl.create_default_context(cafile=os.environ["CERT"])
    box = poplib.POP3_SSL("localhost", int(os.environ["PORT"]), context=context)
    assert "UIDL" in box.capa()
    box.user(user)
    box.pass_(os.environ["PASSWORD"])
    return box


def save(folder, delete=False):
    """Saves what is new, and returns how many there were."""
    box = login(os.environ["NAME"] + ("+" + folder if folder != "inbox" else ""))
    count, new = box.stat()[0], 0
    assert len(box.list()[1]) == count
    for line in box.uidl()[1]:
        number, uid = line.decode().split()
        if uid not in known:
            known.add(uid)
            new += 1
            with open(os.path.join(os.environ["DIR"], folder + "." + uid), "wb") as file:
                file.write(b"\r\n".join(box.retr(number)[1]) + b"\r\n")
            top = box.top(number, 0)[1]
            assert any(l.startswith(b"X-Relay-Id: ") for l in top) and len(top) < 120, top
        if delete:
            box.dele(number)
    tell("quit", box.quit().decode())
    return count, new


folders = ("inbox", "queued", "deferred", "sent")
tell("first", sum(save(folder)[1] for folder in folders))
tell("again", sum(save(folder)[1] for folder in folders))
save("sent", delete=True)
tell("left", save("sent")[0])
