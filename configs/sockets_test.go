package configs_test

import (
	"testing"

	"postrider/configs"
)

func TestSocketsThatWereHandedOverReplaceAddressesOfAllSources(t *testing.T) {
	t.Parallel()
	c, problems := configs.Load(configs.LoadOptions{
		Environ: []string{"POSTRIDER_SUBMISSION_LISTEN=127.0.0.1:2525", "POSTRIDER_IMAP_LISTEN=off"},
		Flags:   map[string]string{"submission.listen": "127.0.0.1:2526"},
		Sockets: map[string]string{"submission.listen": "0.0.0.0:25,[::1]:26", "imap.listen": "[::]:143"},
	})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if l := c.Submission.Listen; len(l) != 2 || l[0].Address() != "0.0.0.0:25" || l[1].Address() != "[::1]:26" {
		t.Errorf("submission.listen is %v", l)
	}
	if l := c.IMAP.Listen; len(l) != 1 || l[0].Address() != "[::]:143" {
		t.Errorf("imap.listen is %v", l)
	}
	if got := c.Origin("submission.listen"); got != "a socket that was handed over" {
		t.Errorf("submission.listen is from %q", got)
	}
}

func TestASocketThatOthersReachMakesAnOpenRelayLikeAnAddress(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{"127.0.0.1:2525": false, "[::]:2525": true, "192.0.2.1:2525": true} {
		_, problems := configs.Load(configs.LoadOptions{
			Environ: []string{"POSTRIDER_SUBMISSION_LISTEN=127.0.0.1:2525", "POSTRIDER_TRUSTED_NETWORKS=0.0.0.0/0"},
			Sockets: map[string]string{"submission.listen": addr},
		})
		open := false
		for _, p := range problems {
			open = open || p.OpenRelay
		}
		if open != want {
			t.Errorf("%s: an open relay %t, want %t", addr, open, want)
		}
	}
}
