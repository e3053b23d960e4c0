package throttle

// Known counts the sites that are remembered.
func (s *Sites) Known() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sites)
}
