"""What a receiver makes of the message on standard input: SPF of the envelope
sender by pyspf, every DKIM signature by dkimpy, and DMARC over both by opendmarc.
Arguments: the client's address, its HELO name, the envelope sender. All of it asks
the DNS of /etc/resolv.conf. Prints one JSON object."""
import json
import os
import re
import subprocess
import sys
import tempfile

import dkim
import spf

ip, helo, sender = sys.argv[1:4]
message = sys.stdin.buffer.read()

spf_result, _, spf_text = spf.query(i=ip, s=sender, h=helo, timeout=5).check()
spf_domain = sender.rpartition("@")[2]

results = ["spf=%s smtp.mailfrom=%s" % (spf_result, sender or helo)]
signatures = []
count = sum(1 for name, _ in dkim.rfc822_parse(message)[0] if name.lower() == b"dkim-signature")
for index in range(count):
    verifier = dkim.DKIM(message, minkey=1024)
    try:
        good = verifier.verify(idx=index)
    except dkim.DKIMException as e:
        good = False
    domain = verifier.signature_fields.get(b"d", b"").decode()
    signatures.append({"domain": domain, "algorithm": verifier.signature_fields.get(b"a", b"").decode(), "pass": bool(good)})
    results.append("dkim=%s header.d=%s" % ("pass" if good else "fail", domain))

with tempfile.TemporaryDirectory() as dir:
    nobody, conf, mail = (os.path.join(dir, name) for name in ("nobody", "opendmarc.conf", "mail"))
    with open(nobody, "w") as f:
        f.write("203.0.113.255\n")  # else mail of this machine is not judged
    with open(conf, "w") as f:
        f.write("AuthservID judge.test\nTrustedAuthservIDs judge.test\nIgnoreHosts %s\nRejectFailures true\n"
                "PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat\nSoftwareHeader false\nUserID root\n" % nobody)
    with open(mail, "wb") as f:
        f.write(("Authentication-Results: judge.test; " + "; ".join(results) + "\r\n").encode() + message)
    done = subprocess.run(["/usr/sbin/opendmarc", "-c", conf, "-f", "-v", "-v", "-v", "-t", mail], capture_output=True, text=True, timeout=60)
text = done.stdout + done.stderr
found = re.search(r"dmarc=(\w+) \(([^)]*)\) header\.from=(\S+?)'", text)
end = re.search(r"mlfi_eom\(\) returned (\w+)", text)
print(json.dumps({
    "spf": {"result": spf_result, "domain": spf_domain, "text": spf_text},
    "dkim": signatures,
    "dmarc": {"result": found.group(1) if found else "", "policy": found.group(2) if found else "", "from": found.group(3) if found else ""},
    "end": end.group(1) if end else "", "said": text,
}))
