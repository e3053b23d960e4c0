package mx

import "sync"

// lru is a bounded map that forgets what was used longest ago. It is safe for
// concurrent use.
type lru[K comparable, V any] struct {
	max int

	mu    sync.Mutex
	nodes map[K]*lruNode[K, V]
	root  lruNode[K, V] // ring; root.next is the newest
}

type lruNode[K comparable, V any] struct {
	prev, next *lruNode[K, V]
	key        K
	value      V
}

func newLRU[K comparable, V any](limit int) *lru[K, V] {
	c := &lru[K, V]{max: limit, nodes: make(map[K]*lruNode[K, V])}
	c.root.prev, c.root.next = &c.root, &c.root
	return c
}

func (c *lru[K, V]) get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.nodes[k]
	if !ok {
		var none V
		return none, false
	}
	if c.root.next != n {
		n.unlink()
		c.pushFront(n)
	}
	return n.value, true
}

func (c *lru[K, V]) put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.nodes[k]; ok {
		n.value = v
		n.unlink()
		c.pushFront(n)
		return
	}
	if len(c.nodes) >= c.max {
		oldest := c.root.prev
		oldest.unlink()
		delete(c.nodes, oldest.key)
	}
	n := &lruNode[K, V]{key: k, value: v}
	c.nodes[k] = n
	c.pushFront(n)
}

func (c *lru[K, V]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.nodes)
}

func (c *lru[K, V]) pushFront(n *lruNode[K, V]) {
	n.prev, n.next = &c.root, c.root.next
	n.prev.next, n.next.prev = n, n
}

func (n *lruNode[K, V]) unlink() {
	n.prev.next, n.next.prev = n.next, n.prev
}
