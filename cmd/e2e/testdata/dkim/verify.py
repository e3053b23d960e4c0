"""Verifies every signature of the message on standard input with dkimpy and
prints a line with algorithm and result for each. Arguments: DNS host and port."""
import sys

import dkim
import dns.resolver

resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port = [sys.argv[1]], int(sys.argv[2])


def txt(name, timeout=5):
    answer = resolver.resolve(name.decode().rstrip("."), "TXT", lifetime=timeout)
    return b"".join(answer[0].strings)


message = sys.stdin.buffer.read()
count = sum(1 for name, _ in dkim.rfc822_parse(message)[0] if name.lower() == b"dkim-signature")
for index in range(count):
    verifier = dkim.DKIM(message, minkey=1024)
    good = verifier.verify(idx=index, dnsfunc=txt)
    print(verifier.signature_fields[b"a"].decode(), "pass" if good else "fail")
