package dkim_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"postrider/dkim"
)

func Example() {
	keys, err := dkim.ImportDir(os.DirFS("testdata/keys"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ring, err := dkim.NewKeyring(dkim.KeyringOptions{Imported: keys})
	if err != nil {
		fmt.Println(err)
		return
	}
	signer := dkim.NewSigner(dkim.Options{Keyring: ring})
	signed, err := signer.Sign(context.Background(), dkim.SignRequest{
		Message: strings.NewReader("From: a@shop.example.com\r\n\r\nHi.\r\n"),
		Now:     time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(signed.KeyIDs)
	fmt.Println(strings.Count(string(signed.Header), "DKIM-Signature:"), "fields")
	// Output:
	// [mail._domainkey.example.com ed._domainkey.example.com]
	// 2 fields
}

func ExampleRecordFor() {
	keys, err := dkim.ImportDir(os.DirFS("testdata/keys"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	record, err := dkim.RecordFor(keys[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(record.ZoneFile())
	fmt.Println(record.Host, "in the zone", record.Zone)
	// Output:
	// ed._domainkey.example.com. 3600 IN TXT (
	// 	"v=DKIM1; k=ed25519; p=NlNoMG/YomWo2/tvDl0u7ipnCBj4AgO8UtMJdSRgSSY="
	// 	)
	// ed._domainkey in the zone example.com
}
