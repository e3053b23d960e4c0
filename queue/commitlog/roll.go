package commitlog

// roll seals the active segment and begins the next one.
func (c *committer) roll(critical bool) error {
	c.flush()
	if err := c.l.Err(); err != nil {
		return err
	}
	if c.off <= segmentHeaderSize {
		return nil // all that was staged has been refused
	}
	if c.dirty > 0 {
		if err := c.syncFile(); err != nil {
			c.fail(err)
			return c.l.Err()
		}
	}
	end := c.seg.first + Position(c.off)
	next, err := c.createNext(end, critical)
	if err != nil {
		return err
	}
	c.seg.trim(c.off)
	c.l.segs.add(next)
	c.l.segs.seal(c.seg, end)
	c.seg, c.off, c.filled = next, segmentHeaderSize, segmentHeaderSize
	c.l.opts.Logger.Debug("log segment begun", "segment", next.first.String())
	return nil
}

// createNext makes the segment file for first. Without space it gives up the
// reserve for a critical batch, else it leaves no trace and the old segment
// stays the active one.
func (c *committer) createNext(first Position, critical bool) (*segment, error) {
	fs, dir := c.l.opts.FS, c.l.dir
	for {
		next, err := createSegment(fs, dir, first, c.seg.first, c.space.preallocate())
		if err == nil {
			return next, nil
		}
		if !isNoSpace(err) || isSyncError(err) {
			c.fail(err)
			return nil, c.l.Err()
		}
		// A file left under this name would end the old segment here.
		if err := removeIfThere(fs, fs.PathJoin(dir, segmentName(first))); err != nil {
			c.fail(err)
			return nil, c.l.Err()
		}
		if err := syncDir(fs, dir); err != nil {
			c.fail(err)
			return nil, c.l.Err()
		}
		if !critical || !c.space.release() {
			return nil, ErrNoSpace
		}
	}
}
