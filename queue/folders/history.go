package folders

import (
	"slices"

	"postrider/queue/bitmap"
)

// A modification sequence is made so that none need be kept for an entry whose
// flags were never changed: the upper part is the UID that was given last, the
// lower part counts the commits since. The entry u was added at u<<modSeqBits.
const modSeqBits = 20

func addedAt(uid UID) uint64 { return uint64(uid) << modSeqBits }

// advance gives a commit that adds nothing its modification sequence. It uses up
// a UID when there have been a million of them.
func (v *View) advance() {
	v.ModSeq++
	if v.ModSeq>>modSeqBits >= uint64(v.UIDNext) {
		v.UIDNext++
		v.ModSeq = addedAt(v.UIDNext - 1)
	}
}

// history says when flags of the entries of one chunk were changed: at most
// maxChanges changes, oldest first, each entry in the last that changed it. Of
// more, the two oldest become one, with the later sequence: clients that ask
// hear of some changes twice, and of none never.
type history struct {
	chunk   uint32
	changes []change
}

type change struct {
	modseq uint64
	set    bitmap.Set
}

const maxChanges = 16

func byChunk(h history, chunk uint32) int {
	switch {
	case h.chunk < chunk:
		return -1
	case h.chunk > chunk:
		return 1
	}
	return 0
}

// ModSeqOf returns the modification sequence of an entry.
func (v *View) ModSeqOf(uid UID) uint64 {
	if i, ok := slices.BinarySearchFunc(v.history, uid>>bitmap.ChunkBits, byChunk); ok {
		for _, c := range v.history[i].changes {
			if c.set.Has(uid) {
				return c.modseq
			}
		}
	}
	return addedAt(uid)
}

// ChangedSince returns those of members that were added, or whose flags were
// changed, after modseq.
func (v *View) ChangedSince(members bitmap.Set, modseq uint64) (out bitmap.Set) {
	if after := modseq>>modSeqBits + 1; after < uint64(v.UIDNext) {
		out = members.Between(UID(after), ^UID(0))
	}
	for _, h := range v.history {
		for _, c := range h.changes {
			if c.modseq > modseq {
				out = out.Or(c.set.And(members))
			}
		}
	}
	return out
}

// rewrite returns the histories after a commit: without those that are gone, and
// with those that it changed.
func rewrite(list []history, gone, changed bitmap.Set, modseq uint64) []history {
	touched := gone.Or(changed)
	chunks := touched.Changed(bitmap.Set{})
	if len(chunks) == 0 {
		return list
	}
	list = slices.Clone(list)
	for _, n := range chunks {
		first := n << bitmap.ChunkBits
		last := first + 1<<bitmap.ChunkBits - 1
		i, ok := slices.BinarySearchFunc(list, n, byChunk)
		var old []change
		if ok {
			old = list[i].changes
		}
		changes := supersede(old, touched.Between(first, last), changed.Between(first, last), modseq)
		switch {
		case ok && len(changes) == 0:
			list = slices.Delete(list, i, i+1)
		case ok:
			list[i].changes = changes
		case len(changes) > 0:
			list = slices.Insert(list, i, history{n, changes})
		}
	}
	return list
}

func supersede(old []change, touched, changed bitmap.Set, modseq uint64) []change {
	var out []change
	for _, c := range old {
		if c.set = c.set.AndNot(touched); !c.set.IsEmpty() {
			out = append(out, c)
		}
	}
	if !changed.IsEmpty() {
		out = append(out, change{modseq, changed})
	}
	if len(out) > maxChanges {
		out[1].set = out[1].set.Or(out[0].set)
		out = out[1:]
	}
	return out
}
