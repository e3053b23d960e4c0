package delivery

// recent is a map that forgets what was put into it first.
type recent[K comparable, V any] struct {
	m    map[K]V
	ring []K // in order of entry; grows to max
	next int
	max  int
}

func newRecent[K comparable, V any](limit int) recent[K, V] {
	return recent[K, V]{m: make(map[K]V), max: limit}
}

func (r *recent[K, V]) get(k K) (V, bool) {
	v, ok := r.m[k]
	return v, ok
}

func (r *recent[K, V]) put(k K, v V) {
	if _, known := r.m[k]; known {
		r.m[k] = v
		return
	}
	if len(r.ring) < r.max {
		r.ring = append(r.ring, k)
	} else {
		delete(r.m, r.ring[r.next])
		r.ring[r.next] = k
		r.next = (r.next + 1) % r.max
	}
	r.m[k] = v
}

// forget empties the value's place; the key keeps its turn to be dropped.
func (r *recent[K, V]) forget(k K) {
	if _, known := r.m[k]; known {
		var zero V
		r.m[k] = zero
	}
}
