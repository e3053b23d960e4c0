package dkim

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A zone is the DNS of a test: the TXT records by name.
type zone struct {
	mu     sync.Mutex
	texts  map[string][]string
	broken error
}

func (z *zone) lookup(_ context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.broken != nil {
		return nil, z.broken
	}
	if z.texts[name] == nil {
		return nil, &net.DNSError{Name: name, IsNotFound: true}
	}
	return z.texts[name], nil
}

// set publishes texts at a key's name, or nothing.
func (z *zone) set(k Key, texts ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.texts == nil {
		z.texts = make(map[string][]string)
	}
	z.texts[k.ID()] = texts
}

func (z *zone) publish(t *testing.T, keys ...Key) {
	t.Helper()
	for _, k := range keys {
		z.set(k, recordOf(t, k))
	}
}

func (z *zone) breakWith(err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.broken = err
}

// A rotation is a Rotator with all that is around it.
type rotation struct {
	*Rotator
	store *memoryStore
	zone  *zone
	now   *clock
	steps *told
}

// told are the steps that were.
type told struct {
	mu   sync.Mutex
	list []string
}

func (s *told) add(step Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, string(step.Kind)+" "+step.Key.Selector)
}

// take returns what was told since it was called last, sorted.
func (s *told) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.list
	s.list = nil
	slices.Sort(list)
	return list
}

// newRotation has an Ed25519 key, which is made quickly, unless keys are given.
func newRotation(t *testing.T, o RotatorOptions, keys ...Key) *rotation {
	t.Helper()
	r := &rotation{store: &memoryStore{}, zone: &zone{}, now: &clock{now: day}, steps: &told{}}
	if len(keys) == 0 {
		keys = []Key{generated(t, Ed25519, day.Add(-30*24*time.Hour))}
	}
	r.store.put(t, keys...)
	o.Store, o.Lookup, o.Now, o.Told = r.store, r.zone.lookup, r.now.Now, r.steps.add
	r.Rotator = NewRotator(o)
	return r
}

func generated(t *testing.T, a Algorithm, at time.Time) Key {
	t.Helper()
	k, err := Generate("example.com", a, at)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (r *rotation) keys(t *testing.T) []Key {
	t.Helper()
	keys, err := r.Keys(t.Context(), "example.com")
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func (r *rotation) prepare(t *testing.T) Key {
	t.Helper()
	keys, err := r.Prepare(t.Context(), "example.com")
	if err != nil || len(keys) != 1 || keys[0].State != Published {
		t.Fatalf("Prepare: %v, %v", keys, err)
	}
	return keys[0]
}

func (r *rotation) pass(t *testing.T) {
	t.Helper()
	if err := r.CheckAll(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (r *rotation) want(t *testing.T, when string, want ...string) {
	t.Helper()
	if got := r.steps.take(); !slices.Equal(got, want) {
		t.Errorf("%s: told %q, want %q", when, got, want)
	}
}

func TestAKeyIsPublishedVerifiedSwitchedToAndRetired(t *testing.T) {
	t.Parallel()
	r := newRotation(t, RotatorOptions{})
	old := r.keys(t)[0]
	r.zone.publish(t, old)
	r.pass(t)
	r.want(t, "its record is seen", "appeared "+old.Selector)

	next := r.prepare(t)
	r.want(t, "prepared", "prepared "+next.Selector)
	if again := r.prepare(t); again.ID() != next.ID() {
		t.Errorf("preparing again made %v beside %v", again, next)
	}
	signs := func(want Key) {
		t.Helper()
		ring, err := NewKeyring(KeyringOptions{Store: r.store})
		if err != nil {
			t.Fatal(err)
		}
		keys, err := ring.Keys(t.Context(), "shop.example.com")
		if err != nil || len(keys) != 1 || keys[0].ID() != want.ID() {
			t.Errorf("%v, %v sign; want %v", keys, err, want)
		}
	}
	r.pass(t)
	r.want(t, "not published")
	r.zone.publish(t, old)
	r.zone.set(next, recordOf(t, old))
	r.pass(t)
	r.want(t, "published with another key")
	signs(old)

	r.zone.publish(t, next)
	r.now.pass(time.Hour)
	r.pass(t)
	r.want(t, "published", "retiring "+old.Selector, "switched "+next.Selector)
	signs(next)
	if keys := r.keys(t); keys[0].ID() != next.ID() || keys[1].State != Retired || !keys[1].Since.Equal(day.Add(time.Hour)) {
		t.Errorf("%v", keys)
	}

	r.now.pass(DefaultKeep - time.Second)
	r.pass(t)
	r.want(t, "before the last signature has expired")
	r.now.pass(time.Second)
	r.pass(t)
	r.want(t, "after it", "withdrawn "+old.Selector)
	stored, _ := EncodeKeys(r.keys(t))
	if n := bytes.Count(stored, []byte("BEGIN PRIVATE KEY")); n != 1 {
		t.Errorf("%d private keys are stored, want the new one alone", n)
	}
	gone := r.keys(t)[1]
	if record := recordOf(t, gone); gone.State != Revoked || record != "v=DKIM1; k=ed25519; p=" || gone.ID() != old.ID() {
		t.Errorf("%v with %s", gone, record)
	}
	signs(next)

	r.now.pass(everyDomain)
	r.pass(t)
	r.want(t, "while the old record is there")
	r.zone.set(gone, recordOf(t, gone))
	r.now.pass(everyDomain)
	r.pass(t)
	r.want(t, "when it has an empty p=", "forgotten "+old.Selector)
	if keys := r.keys(t); len(keys) != 1 {
		t.Errorf("%v are left", keys)
	}
}

func TestEachAlgorithmIsRotatedForItself(t *testing.T) {
	t.Parallel()
	r := newRotation(t, RotatorOptions{}, generated(t, RSA, day.Add(-time.Hour)), generated(t, Ed25519, day.Add(-time.Hour)))
	made, err := r.Prepare(t.Context(), "EXAMPLE.com.", Ed25519)
	if err != nil || len(made) != 1 || made[0].Algorithm != Ed25519 {
		t.Fatalf("%v, %v", made, err)
	}
	// Made on the same day as the first, so it needs a name of its own.
	if made[0].Selector != Selector(Ed25519, day)+"2" {
		t.Errorf("its selector is %s", made[0].Selector)
	}
	both, err := r.Prepare(t.Context(), "example.com")
	if err != nil || len(both) != 2 || both[0].Algorithm != RSA || both[1].ID() != made[0].ID() {
		t.Fatalf("%v, %v", both, err)
	}
	r.steps.take()
	r.zone.publish(t, both[0])
	r.pass(t)
	r.want(t, "the RSA record alone", "retiring "+Selector(RSA, day), "switched "+both[0].Selector)
	if _, err := r.Prepare(t.Context(), "example.com", "md5"); err == nil {
		t.Error("a key of an unknown algorithm was made")
	}
}

func TestANextKeyWaitsForEveryNameServerThatAnswers(t *testing.T) {
	t.Parallel()
	first, second, dead := &zone{}, &zone{}, &zone{broken: errors.New("timeout")}
	var noServers error
	r := newRotation(t, RotatorOptions{Servers: func(context.Context, string) ([]NameServer, error) {
		return []NameServer{{"ns1.example.net", first.lookup}, {"ns2.example.net", second.lookup}, {"ns3.example.net", dead.lookup}}, noServers
	}})
	next := r.prepare(t)
	r.steps.take()
	r.zone.publish(t, next)
	first.publish(t, next)
	found, steps, err := r.Check(t.Context(), "example.com")
	if err != nil || len(steps) != 0 {
		t.Fatalf("%v, %v", steps, err)
	}
	if f := found[1]; f.Key.ID() != next.ID() || f.Verdict != RecordMissing || f.Where != "ns2.example.net" {
		t.Errorf("%+v", f)
	}
	second.publish(t, next)
	if _, steps, err = r.Check(t.Context(), "example.com"); err != nil || len(steps) != 2 {
		t.Errorf("%v, %v", steps, err)
	}

	again := r.prepare(t)
	noServers = errors.New("no answer")
	r.zone.publish(t, again)
	if _, steps, err = r.Check(t.Context(), "example.com"); err != nil || len(steps) != 2 {
		t.Errorf("with the resolver alone: %v, %v", steps, err)
	}
}

func TestAVanishedRecordIsToldOnce(t *testing.T) {
	t.Parallel()
	at := &zone{}
	r := newRotation(t, RotatorOptions{Servers: func(context.Context, string) ([]NameServer, error) {
		return []NameServer{{"ns1.example.net", at.lookup}}, nil
	}})
	k := r.keys(t)[0]
	r.pass(t)
	r.want(t, "never published")
	day := func() { r.now.pass(everyDomain); r.pass(t) }
	r.zone.publish(t, k)
	at.publish(t, k)
	day()
	r.want(t, "published", "appeared "+k.Selector)
	day()
	r.want(t, "still there")

	r.zone.set(k)
	day()
	r.want(t, "gone at the resolver, but not at the zone's server")
	r.zone.breakWith(errors.New("timeout"))
	day()
	r.want(t, "no answer")
	r.zone.breakWith(nil)
	at.set(k)
	day()
	r.want(t, "gone everywhere", "vanished "+k.Selector)
	if r.keys(t)[0].Missed.IsZero() {
		t.Error("it is not noted")
	}
	r.pass(t)
	r.want(t, "still gone")
	r.zone.publish(t, k)
	r.pass(t) // what is missed is looked up each time
	r.want(t, "back", "appeared "+k.Selector)
}

func TestKeysGetSuccessorsWhenTheyAreOldIfAsked(t *testing.T) {
	t.Parallel()
	const age = 180 * 24 * time.Hour
	for name, c := range map[string]struct {
		every  time.Duration
		public bool
		want   int
	}{"off": {0, true, 0}, "on": {age, true, 1}, "never published": {age, false, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRotation(t, RotatorOptions{Every: c.every}, generated(t, Ed25519, day))
			if c.public {
				r.zone.publish(t, r.keys(t)[0])
			}
			r.pass(t)
			r.now.pass(age - time.Second)
			r.pass(t)
			if keys := r.keys(t); len(keys) != 1 {
				t.Errorf("too early: %v", keys)
			}
			r.now.pass(time.Second)
			for range 3 {
				r.pass(t)
			}
			if keys := r.keys(t); len(keys) != 1+c.want || keys[0].State != Active {
				t.Errorf("%v", keys)
			}
		})
	}
}

func TestImportedKeysAreLeftAloneAndWatched(t *testing.T) {
	t.Parallel()
	keys := importedKeys(t)
	var log bytes.Buffer
	r := newRotation(t, RotatorOptions{Imported: keys, Every: time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if _, err := r.Prepare(t.Context(), keys[0].Domain); !errors.Is(err, ErrImported) {
		t.Errorf("Prepare: %v", err)
	}
	r.zone.publish(t, keys[0])
	for range 2 {
		r.pass(t)
		r.now.pass(everyDomain)
	}
	r.want(t, "one is not published", "vanished "+keys[1].Selector)
	r.zone.publish(t, keys[1])
	r.pass(t)
	r.want(t, "now it is", "appeared "+keys[1].Selector)
	if found, steps, err := r.Check(t.Context(), keys[0].Domain); err != nil || len(steps) != 0 || len(found) != 2 || found[1].Verdict != RecordRight {
		t.Errorf("Check: %v, %v, %v", found, steps, err)
	}
	if text := log.String(); !strings.Contains(text, keys[1].ID()) || strings.Contains(text, "PRIVATE") {
		t.Errorf("logged %s", text)
	}
}

func TestANextKeyCanBeGivenUp(t *testing.T) {
	t.Parallel()
	r := newRotation(t, RotatorOptions{})
	next := r.prepare(t)
	gone, err := r.Abandon(t.Context(), "example.com")
	if err != nil || len(gone) != 1 || gone[0].ID() != next.ID() {
		t.Fatalf("%v, %v", gone, err)
	}
	r.want(t, "both", "abandoned "+next.Selector, "prepared "+next.Selector)
	r.zone.publish(t, next)
	r.pass(t)
	r.want(t, "afterwards")
	if _, err := r.Prepare(t.Context(), "other.example"); !errors.Is(err, ErrNoKey) {
		t.Errorf("a domain without keys: %v", err)
	}
}

func TestNodesTakeEachStepOnce(t *testing.T) {
	t.Parallel()
	r := newRotation(t, RotatorOptions{})
	next := r.prepare(t)
	r.steps.take()
	r.zone.publish(t, next)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, _, err := r.Check(t.Context(), "example.com"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := r.steps.take(); len(got) != 2 {
		t.Errorf("told %q", got)
	}
}

func TestAStoreThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRotation(t, RotatorOptions{})
	r.store.breakWith(errors.New("no store"))
	if err := r.CheckAll(t.Context()); err == nil {
		t.Error("CheckAll succeeded")
	}
	if _, _, err := r.Check(t.Context(), "example.com"); err == nil {
		t.Error("Check succeeded")
	}
	if _, err := r.Prepare(t.Context(), "example.com"); err == nil {
		t.Error("Prepare succeeded")
	}
}

func TestMailIsSignedWithTheNextKeyOnceItIsPublished(t *testing.T) {
	t.Parallel()
	store, z := &memoryStore{}, &zone{}
	store.put(t, generated(t, Ed25519, day))
	ring, err := NewKeyring(KeyringOptions{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	r := NewRotator(RotatorOptions{Store: store, Lookup: z.lookup, Changed: ring.Invalidate})
	signer := NewSigner(Options{Keyring: ring})
	sign := func() Signature {
		t.Helper()
		s, err := signer.Sign(t.Context(), SignRequest{Message: strings.NewReader(strings.ReplaceAll(plain, "example.org", "example.com"))})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := sign()
	next, err := r.Prepare(t.Context(), "example.com")
	if err != nil {
		t.Fatal(err)
	}
	z.publish(t, next...)
	if _, _, err := r.Check(t.Context(), "example.com"); err != nil {
		t.Fatal(err)
	}
	after := sign()
	if slices.Equal(before.KeyIDs, after.KeyIDs) || after.KeyIDs[0] != next[0].ID() {
		t.Errorf("signed with %v, then with %v", before.KeyIDs, after.KeyIDs)
	}
}

func TestRecordsAreJudgedAsReceiversReadThem(t *testing.T) {
	t.Parallel()
	keys := importedKeys(t)
	rsaKey, edKey := keys[0], keys[1]
	if rsaKey.Algorithm != RSA {
		rsaKey, edKey = edKey, rsaKey
	}
	right := recordOf(t, rsaKey)
	p := strings.TrimPrefix(right, "v=DKIM1; k=rsa; ")
	for name, c := range map[string]struct {
		k     Key
		texts []string
		want  Verdict
	}{
		"as we tell it":              {rsaKey, []string{right}, RecordRight},
		"ed25519":                    {edKey, []string{recordOf(t, edKey)}, RecordRight},
		"only p=":                    {rsaKey, []string{p}, RecordRight},
		"in the encoding of PKCS #1": {rsaKey, []string{"p=" + base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(rsaKey.private.Public().(*rsa.PublicKey)))}, RecordRight},
		"with white space":           {rsaKey, []string{strings.ReplaceAll(right, "/", "/ \t")}, RecordRight},
		"with restrictions that fit": {rsaKey, []string{"v=DKIM1; h=sha1:sha256; s=email; t=s; n=note; " + p}, RecordRight},
		"nothing":                    {rsaKey, nil, RecordMissing},
		"a wildcard's text":          {rsaKey, []string{"v=spf1 -all"}, RecordMissing},
		"withdrawn":                  {rsaKey, []string{"v=DKIM1; p="}, RecordRevoked},
		"another key":                {rsaKey, []string{recordOf(t, edKey)}, RecordWrong},
		"another algorithm":          {rsaKey, []string{"k=ed25519; " + p}, RecordWrong},
		"cut short":                  {rsaKey, []string{right[:250]}, RecordWrong},
		"no k= for ed25519":          {edKey, []string{strings.Replace(recordOf(t, edKey), "k=ed25519; ", "", 1)}, RecordWrong},
		"twice":                      {rsaKey, []string{right, right}, RecordWrong},
		"beside other text":          {rsaKey, []string{"v=spf1 -all", right}, RecordWrong},
		"v= not first":               {rsaKey, []string{p + "; v=DKIM1"}, RecordWrong},
		"another version":            {rsaKey, []string{"v=DKIM2; " + p}, RecordWrong},
		"sha1 only":                  {rsaKey, []string{"h=sha1; " + p}, RecordWrong},
		"not for mail":               {rsaKey, []string{"s=tlsrpt; " + p}, RecordWrong},
		"a test":                     {rsaKey, []string{"t=s:y; " + p}, RecordTesting},
		"a tag twice":                {rsaKey, []string{right + "; " + p}, RecordWrong},
		"in quotes":                  {rsaKey, []string{`"` + right + `"`}, RecordWrong},
	} {
		got, detail := JudgeRecord(c.k, c.texts)
		if got != c.want || (detail != "") != (c.want == RecordWrong || c.want == RecordTesting) {
			t.Errorf("%s: %s (%s), want %s", name, got, detail, c.want)
		}
	}
	gone, err := revokedKey(rsaKey.Domain, rsaKey.Selector, RSA, day)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]Verdict{right: RecordWrong, "p=": RecordRevoked, "": RecordMissing} {
		if got, _ := JudgeRecord(gone, []string{text}); got != want {
			t.Errorf("a revoked key whose record is %q: %s, want %s", text, got, want)
		}
	}
}

func FuzzJudgeRecord(f *testing.F) {
	key := importedKeys(f)[0]
	for _, s := range []string{recordOf(f, key), "v=DKIM1; p=", "p=;p=", ";;;", "v=DKIM1", "k=\xff; p=a", strings.Repeat("a=b;", 100)} {
		f.Add(s)
	}
	right := recordOf(f, key)
	f.Fuzz(func(t *testing.T, text string) {
		v, detail := JudgeRecord(key, []string{text})
		if len(detail) > 200 {
			t.Errorf("detail of %d octets", len(detail))
		}
		if v == RecordRight {
			tags, _ := parseTags(text)
			want, _ := parseTags(right)
			if tags.value("p") != want.value("p") && !sameRSA(tags.value("p"), want.value("p")) {
				t.Errorf("%q is taken for the key", text)
			}
		}
	})
}

func TestWhatIsLeftOfAKeySurvivesEncoding(t *testing.T) {
	t.Parallel()
	k := generated(t, Ed25519, day)
	k.Seen, k.Missed = day.Add(time.Hour), day.Add(2*time.Hour)
	gone, err := revokedKey("example.com", "old", RSA, day)
	if err != nil {
		t.Fatal(err)
	}
	gone.Since = day.Add(3 * time.Hour)
	encoded, err := EncodeKeys([]Key{k, gone})
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := DecodeKeys(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(decoded, decoded[0].Since, decoded[0].Seen, decoded[0].Missed, decoded[1].Since); got != fmt.Sprint([]Key{k, gone}, k.Since, k.Seen, k.Missed, gone.Since) {
		t.Error(got)
	}
	if _, err := DecodeKeys([]byte(`[{"domain":"example.com","selector":"s","state":"revoked"}]`)); err == nil {
		t.Error("a revoked key without an algorithm was decoded")
	}
}
