package webhook

import (
	"encoding/json"
	"fmt"
	"time"

	"postrider/queue"
)

// TestType is the type of the event that Sender.Test tells of.
const TestType = "webhook.test"

func testMessage(e *stored, now time.Time) (*message, error) {
	id := queue.NewID("evt_")
	at := now.UTC().Truncate(time.Millisecond)
	body, err := json.Marshal(map[string]any{
		"id": id, "type": TestType, "timestamp": at, "created_at": at, "sequence": 0,
		"data": map[string]string{"webhook_id": e.ID, "account": e.Account},
	})
	if err != nil {
		return nil, fmt.Errorf("encode a test event: %w", err)
	}
	return &message{id: id, kind: TestType, body: body}, nil
}
