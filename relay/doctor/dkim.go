package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postrider/dkim"
)

// dkim judges the published half of each key that signs for the domain, and then
// whether a signature made with them verifies.
func (x *exam) dkim(ctx context.Context, d Domain) []Finding {
	f := about("dom.dkim", d.Name, "the keys that sign mail from "+d.Name)
	if x.o.Keys == nil {
		return []Finding{f.unknown("the keys are not at hand: " + cmp.Or(x.c.NoStore, "nothing was opened"))}
	}
	keys, err := x.o.Keys.Keys(ctx, d.Name)
	switch {
	case errors.Is(err, dkim.ErrNoKey) || err == nil && len(keys) == 0:
		return []Finding{f.fail("there is no key, so that mail leaves unsigned").
			advise("Turn on dkim.autogenerate and name the domain in dkim.domains if that lists any, or import a key into dkim.keys_dir; then run `postrider domain records "+d.Name+"`.", atConfig)}
	case err != nil:
		return []Finding{f.unknown("the keys could not be read: " + shown(err.Error()))}
	}
	var found []Finding
	for _, k := range keys {
		found = append(found, x.key(ctx, d, k))
	}
	found = append(found, x.otherKeys(ctx, d, keys[0].Domain)...)
	if x.o.Signer != nil && !slices.ContainsFunc(found, func(f Finding) bool { return f.Level != OK }) {
		found = append(found, x.sample(ctx, d))
	}
	return found
}

// otherKeys judges the records of keys that do not sign now, which have to be
// there before and after.
func (x *exam) otherKeys(ctx context.Context, d Domain, owner string) (found []Finding) {
	if x.o.Others == nil {
		return nil
	}
	keys, err := x.o.Others(ctx, owner)
	if err != nil {
		return []Finding{about("dom.dkim", d.Name, "the next keys of "+owner).unknown("the keys could not be read: " + shown(err.Error()))}
	}
	for _, k := range keys {
		f := x.key(ctx, d, k)
		switch {
		case f.Level != Warn:
		case k.State == dkim.Published:
			f.Found += ". It is that of the next key, which signs as soon as its record is seen"
		case k.State == dkim.Retired:
			f.Found += ". Its key signs no more, but mail signed with it is still on its way"
		}
		found = append(found, f)
	}
	return found
}

// key judges the record of one key. Without that of an RSA key that signs, mail is
// unsigned to most receivers; an Ed25519 key signs beside it and is missed by few.
func (x *exam) key(ctx context.Context, d Domain, k dkim.Key) Finding {
	f := about("dom.dkim", d.Name, "TXT of "+k.ID()).marked(k.Selector)
	want, err := dkim.RecordFor(k)
	if err != nil {
		return f.unknown(shown(err.Error()))
	}
	texts, err := x.txt(ctx, k.ID())
	if err != nil {
		return f.unknown(trouble(err))
	}
	bad := Fail
	if k.Algorithm == dkim.Ed25519 || k.State != dkim.Active {
		bad = Warn
	}
	record := txtRecord(k.ID(), want.Value)
	record.Note = "A CNAME to a name that has this record will do as well."
	good := func(texts []string) bool { v, _ := dkim.JudgeRecord(k, texts); return v == dkim.RecordRight }
	missed := func(found, do string) Finding {
		return x.missed(ctx, f.is(bad, found).advise(do, atDNS(want.Zone)).offer(record), k.ID(), good)
	}
	const publish, replace = "Publish this record, whole, on one line.", "Replace the record by this one."
	switch verdict, detail := dkim.JudgeRecord(k, texts); {
	case len(texts) > 1:
		return missed(fmt.Sprintf("there are %d records, of which receivers take any: %s", len(texts), quotedList(texts)), "Leave this one alone.")
	case len(texts) == 0:
		return missed("there is no such record", publish)
	case verdict == dkim.RecordMissing:
		return missed("the record is no key: "+quoted(texts[0]), replace)
	case verdict == dkim.RecordRevoked:
		return missed("the record says that the key was revoked: "+quoted(texts[0]), replace)
	case verdict == dkim.RecordTesting:
		return f.warn("the record says t=y: receivers treat the domain as one that is only trying out DKIM").
			advise("Take t=y out of the record.", atDNS(want.Zone)).offer(record)
	case verdict != dkim.RecordRight:
		return missed("the record is wrong, "+detail+": "+quoted(texts[0]), replace)
	}
	if bits := k.RSABits(); bits > 0 && bits < 2048 {
		return f.warn(fmt.Sprintf("the key has %d bits; receivers ask for 2048", bits)).
			advise("Make a new key and publish it before it signs.", atConfig)
	}
	return f.ok("the record holds our key")
}

// sample signs a message that is sent to nobody and verifies it as a receiver
// does.
func (x *exam) sample(ctx context.Context, d Domain) Finding {
	f := about("dom.dkim.self", d.Name, "a signed message, verified with the keys in the DNS")
	now := x.o.Now()
	message := "From: doctor@" + d.Name + "\r\nTo: doctor@" + d.Name + "\r\nSubject: test\r\nDate: " + now.Format("Mon, 02 Jan 2006 15:04:05 -0700") +
		"\r\nMessage-ID: <doctor@" + d.Name + ">\r\nMIME-Version: 1.0\r\n\r\nTest.\r\n"
	s, err := x.o.Signer.Sign(ctx, dkim.SignRequest{FromDomain: d.Name, Message: strings.NewReader(message), Now: now})
	if errors.Is(err, dkim.ErrNoKey) {
		return f.fail("mail from the domain is not signed: dkim.domains leaves it out").advise("Name the domain in dkim.domains.", atConfig)
	}
	if err != nil {
		return f.unknown("it could not be signed: " + shown(err.Error()))
	}
	verdicts, err := dkim.Verify(ctx, strings.NewReader(string(s.Header)+message), x.txt)
	if err != nil {
		return f.unknown(shown(err.Error()))
	}
	if len(verdicts) == 0 {
		return f.fail("no signature was made").advise("Look into the log, and report this.", atHost)
	}
	for _, v := range verdicts {
		switch {
		case v.Err != nil && v.Temporary:
			return f.unknown("the DNS did not answer: " + shown(v.Err.Error()))
		case v.Err != nil:
			return f.fail("the signature for "+shown(v.Domain)+" does not verify: "+shown(v.Err.Error())).
				advise("Publish the key that `postrider domain records "+d.Name+"` prints, and see that the clock is right.", atDNS(d.Name))
		}
	}
	return f.ok(count(int64(len(verdicts)), "signature") + " verified")
}
