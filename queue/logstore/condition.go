package logstore

import (
	"context"
	"fmt"

	"postrider/queue"
)

// tooLittle is the free space, in bytes, at which a disk that has refused mail
// is taken for full still.
const tooLittle = 1 << 20

// Condition tells how the store is.
func (s *Store) Condition(ctx context.Context) queue.Condition {
	c := queue.Condition{Free: -1, Used: -1}
	if err := s.enter(ctx); err != nil {
		c.Reason = "the store is closed"
		return c
	}
	defer s.leave()
	space := s.log.Space()
	if space.Free >= 0 {
		c.Free = max(space.Free-s.opts.MinFree, 0)
	}
	c.Used = int64(s.db.Metrics().DiskSpaceUsage()) + space.Reserve
	for _, seg := range s.log.Segments() {
		c.Used += seg.Size
	}
	switch err := s.log.Err(); {
	case err != nil:
		c.Reason = fmt.Sprintf("the log cannot be written: %v; see to the disk, then start again", err)
	case space.Low || s.full.Load() && space.Free >= 0 && space.Free < s.opts.MinFree+tooLittle:
		c.Reason = fmt.Sprintf("the disk of %s has %d bytes free and mail is accepted from %d on: make room, enlarge it or keep mail for a shorter time; delivery goes on",
			s.opts.Dir, space.Free, s.opts.MinFree+tooLittle)
	default:
		c.Accepting = true
	}
	return c
}
