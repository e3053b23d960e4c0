package command

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// build reads the fields of the command's struct.
func (c *Command) build() error {
	if c.target.Kind() != reflect.Struct {
		return fmt.Errorf("command %s: %s is no struct", c.Path(), c.target.Type())
	}
	if d, ok := c.Target().(interface{ Help() string }); ok {
		c.Detail = d.Help()
	}
	if err := c.fields(c.target); err != nil {
		return err
	}
	if e, ok := c.Target().(Extender); ok {
		for _, x := range e.ExtraFlags() {
			c.Flags = append(c.Flags, &Flag{
				value: value{Name: x.Name, Help: x.Help, placeholder: x.Placeholder, set: x.Set}, Group: x.Group, Hidden: x.Hidden,
			})
		}
	}
	if len(c.Commands) > 0 && len(c.Arguments) > 0 {
		return fmt.Errorf("command %s: it has both commands and arguments", c.Path())
	}
	return c.checkNames()
}

func (c *Command) fields(v reflect.Value) error {
	for i := range v.NumField() {
		field, target := v.Type().Field(i), v.Field(i)
		var err error
		switch {
		case field.Anonymous && target.Kind() == reflect.Struct:
			err = c.fields(target)
		case !field.IsExported():
		case has(field.Tag, "cmd"):
			err = c.command(field, target)
		case has(field.Tag, "arg"):
			err = c.argument(field, target)
		default:
			err = c.flag(field, target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Command) command(field reflect.StructField, target reflect.Value) error {
	sub := &Command{
		Name: nameOf(field), Help: field.Tag.Get("help"), Hidden: has(field.Tag, "hidden"), parent: c, target: target,
	}
	c.Commands = append(c.Commands, sub)
	return sub.build()
}

func (c *Command) argument(field reflect.StructField, target reflect.Value) error {
	a := &Argument{}
	if err := a.value.build(field, target); err != nil {
		return fmt.Errorf("command %s: %w", c.Path(), err)
	}
	// Words are apart already.
	a.whole = true
	a.Required = !has(field.Tag, "optional") && !a.defaulted
	if n := len(c.Arguments); n > 0 && (c.Arguments[n-1].many || !c.Arguments[n-1].Required && a.Required) {
		return fmt.Errorf("command %s: nothing can follow the argument %s", c.Path(), c.Arguments[n-1].Name)
	}
	c.Arguments = append(c.Arguments, a)
	return nil
}

func (c *Command) flag(field reflect.StructField, target reflect.Value) error {
	f := &Flag{
		Hidden: has(field.Tag, "hidden"), Group: field.Tag.Get("group"), Negatable: has(field.Tag, "negatable"), xor: field.Tag.Get("xor"),
	}
	if err := f.value.build(field, target); err != nil {
		return fmt.Errorf("command %s: %w", c.Path(), err)
	}
	f.Required = has(field.Tag, "required")
	if short := field.Tag.Get("short"); short != "" {
		f.Short, _ = utf8.DecodeRuneInString(short)
	}
	c.Flags = append(c.Flags, f)
	return nil
}

// checkNames finds names that are there twice.
func (c *Command) checkNames() error {
	seen := map[string]bool{}
	for _, f := range c.allFlags() {
		if seen[f.Name] {
			return fmt.Errorf("command %s: there are two flags --%s", c.Path(), f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

func has(tag reflect.StructTag, key string) bool {
	_, there := tag.Lookup(key)
	return there
}

func nameOf(field reflect.StructField) string {
	if name := field.Tag.Get("name"); name != "" {
		return name
	}
	return hyphenated(field.Name)
}

// hyphenated makes dry-run of DryRun and json-file of JSONFile.
func hyphenated(name string) string {
	runes := []rune(name)
	var b strings.Builder
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) {
			ends := i+1 == len(runes) || unicode.IsUpper(runes[i+1])
			if !unicode.IsUpper(runes[i-1]) || !ends {
				b.WriteByte('-')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
