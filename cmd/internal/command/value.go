package command

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value is what a flag and an argument have in common.
type value struct {
	Name     string
	Help     string
	Required bool

	placeholder string
	typeName    string // of the field's type, in upper case
	fallback    string // the default
	defaulted   bool   // there is one, which may be empty
	enum        []string
	boolean     bool // needs no value
	text        bool // the default is shown in quotes
	pairs       bool // NAME=VALUE
	many        bool // may be given again, and all count
	whole       bool // not taken apart at commas

	set   func(text string) error
	clear func()
	given bool
}

// build reads the field that the value goes to.
func (v *value) build(field reflect.StructField, target reflect.Value) error {
	tag := field.Tag
	v.Name, v.Help, v.placeholder = nameOf(field), tag.Get("help"), tag.Get("placeholder")
	v.typeName = strings.ToUpper(hyphenated(target.Type().Name()))
	v.fallback, v.defaulted = tag.Lookup("default")
	if enum, there := tag.Lookup("enum"); there {
		v.enum = strings.Split(enum, ",")
	}
	v.whole = tag.Get("sep") == "none"
	v.clear = target.SetZero
	single := target.Type()
	switch {
	case readsText(single):
	case single.Kind() == reflect.Pointer:
		single = single.Elem()
	case single.Kind() == reflect.Slice:
		v.many, single = true, single.Elem()
	case single == reflect.TypeFor[map[string]string]():
		v.many, v.whole, v.pairs = true, true, true
	}
	v.boolean = single.Kind() == reflect.Bool && !v.many
	v.text = single.Kind() == reflect.String && target.Kind() == reflect.String
	if !v.pairs && !readable(single) {
		return fmt.Errorf("field %s: values of type %s cannot be read", field.Name, target.Type())
	}
	v.set = func(text string) error { return v.store(target, text) }
	return nil
}

// take is called for each time that the value is given.
func (v *value) take(text string) error {
	if !v.given && v.clear != nil {
		v.clear()
	}
	v.given = true
	if !v.many || v.whole {
		return v.one(text)
	}
	for _, part := range commaSeparated(text) {
		if err := v.one(part); err != nil {
			return err
		}
	}
	return nil
}

// one takes a single value.
func (v *value) one(text string) error {
	if v.enum != nil && !slices.Contains(v.enum, text) {
		return fmt.Errorf("%q is not one of %s", text, strings.Join(quoted(v.enum), ", "))
	}
	return v.set(text)
}

// settle gives what was not given its default.
func (v *value) settle() error {
	if v.given || !v.defaulted {
		return nil
	}
	err := v.take(v.fallback)
	v.given = false
	return err
}

func (v *value) store(target reflect.Value, text string) error {
	switch {
	case v.pairs:
		name, val, found := strings.Cut(text, "=")
		if !found {
			return fmt.Errorf("%q is not NAME=VALUE", text)
		}
		if target.IsNil() {
			target.Set(reflect.MakeMap(target.Type()))
		}
		target.SetMapIndex(reflect.ValueOf(name), reflect.ValueOf(val))
		return nil
	case v.many:
		element := reflect.New(target.Type().Elem()).Elem()
		if err := read(element, text); err != nil {
			return err
		}
		target.Set(reflect.Append(target, element))
		return nil
	case target.Kind() == reflect.Pointer:
		element := reflect.New(target.Type().Elem())
		if err := read(element.Elem(), text); err != nil {
			return err
		}
		target.Set(element)
		return nil
	}
	return read(target, text)
}

func readsText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func readable(t reflect.Type) bool {
	if readsText(t) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return true
	}
	return false
}

// read reads a text into a value that is readable.
func read(target reflect.Value, text string) error {
	if u, ok := target.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	if target.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is no duration, such as 90s or 2h", text)
		}
		target.SetInt(int64(d))
		return nil
	}
	switch target.Kind() {
	case reflect.String:
		target.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		target.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, target.Type().Bits())
		if err != nil {
			return notNumber(text, err)
		}
		target.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return notNumber(text, err)
		}
		target.SetFloat(f)
	}
	return nil
}

func notNumber(text string, err error) error {
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("the number %q is too large", text)
	}
	return fmt.Errorf("%q is no number", text)
}

// commaSeparated takes a list apart; a comma after a backslash belongs to its
// part. Nothing is no part.
func commaSeparated(text string) []string {
	var parts []string
	var part strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == ',':
			i++
			part.WriteByte(',')
		case text[i] == ',':
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteByte(text[i])
		}
	}
	if part.Len() > 0 {
		parts = append(parts, part.String())
	}
	return parts
}

func quoted(words []string) []string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = strconv.Quote(w)
	}
	return all
}
