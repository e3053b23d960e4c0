package skeleton

import (
	"fmt"
	"io"

	"postrider/queue/folders"
)

// Limits of what is looked at and of what is kept.
const (
	maxHeader = 256 << 10 // octets of one header block; what follows is passed over
	maxParts  = 1000      // entities; what follows is taken for an epilogue
	maxDepth  = 50        // entities in each other; what is deeper is a leaf
	maxKept   = 128 << 10 // octets that the headers of all parts add to the wire forms
	maxString = 4 << 10   // octets of a field or parameter in a wire form
	maxToken  = 128       // octets of a type, an encoding, a parameter's name
	maxParams = 64        // parameters of a field
	maxList   = 32 << 10  // octets of a list in a wire form
	maxText   = 12 << 10  // octets of an address field that searches look at
	bufferLen = 8 << 10
)

// Message is what Parse found.
type Message struct {
	envelope  []byte
	body      []byte
	structure []byte
	parts     []folders.Part
	search    folders.Search
}

// Parse reads a message to its end. It fails only if r does.
func Parse(r io.Reader) (*Message, error) { return new(Parser).Parse(r) }

// Parser reads one message after the other in the same room. The zero value is
// ready; it is for one goroutine.
type Parser struct{ w *walker }

// Parse does what the function does. Nothing of what it returns is of the room.
func (p *Parser) Parse(r io.Reader) (*Message, error) {
	if p.w == nil || p.w.isLarge() {
		p.w = newWalker()
	}
	w := p.w
	w.reset(r)
	if err := w.walk(); err != nil {
		return nil, fmt.Errorf("read message for its skeleton: %w", err)
	}
	body, structure := w.structure()
	return &Message{
		envelope:  w.envelope(),
		body:      body,
		structure: structure,
		parts:     w.table(),
		search:    w.search,
	}, nil
}

// Envelope is ENVELOPE's value (RFC 3501 §7.4.2).
func (m *Message) Envelope() []byte { return m.envelope }

// Body is BODY's value: BODYSTRUCTURE without extension data.
func (m *Message) Body() []byte { return m.body }

// BodyStructure is BODYSTRUCTURE's value.
func (m *Message) BodyStructure() []byte { return m.structure }

// Parts is the table of all entities. The first, "", is the message itself; its
// Inner is zero even if it is of type message/rfc822: that of "1" is not.
func (m *Message) Parts() []folders.Part { return m.parts }

// Search has what the header and the size tell; At, Recipients and Other are for
// the caller to fill in. Sent is what the Date field says, in UTC whatever zone it
// names: searches disregard zones (RFC 3501 §6.4.4).
func (m *Message) Search() folders.Search { return m.search }
