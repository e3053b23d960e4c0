//go:build full

package e2e_test

import (
	"bytes"
	"context"
	"flag"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// By hand: go test -tags full -run 'TestThunderbird|TestRoundcube' ./cmd/e2e -update
var updatePictures = flag.Bool("update", false, "take the pictures of the documentation anew")

// maxPicture bounds what the documentation's pictures take.
const maxPicture = 300 << 10

// steady takes screenshots until two in a row are the same.
func steady(ctx context.Context, t *testing.T, take func() ([]byte, error)) []byte {
	t.Helper()
	var last []byte
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		shot, err := take()
		if err != nil {
			t.Fatalf("take a screenshot: %v", err)
		}
		if bytes.Equal(shot, last) {
			return shot
		}
		last = shot
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the window does not come to rest: %v", ctx.Err())
		}
	}
}

// keepPicture looks at a screenshot, and makes it one of the documentation's if
// that is wanted.
func keepPicture(t *testing.T, name string, shot []byte) {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatalf("screenshot: %v", err)
	}
	if size := img.Bounds().Size(); size.X < 1000 || size.Y < 600 {
		t.Errorf("the screenshot is %v", size)
	}
	if !*updatePictures {
		return
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if b.Len() > maxPicture {
		t.Errorf("%s takes %d octets", name, b.Len())
	}
	if err := os.WriteFile(filepath.Join("..", "..", "configs", "docs", "images", name), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
