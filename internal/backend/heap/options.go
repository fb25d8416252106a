package heap

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// options is what the tag of a state says beside its name, such as `state:"level,ttl=24h,refresh=read,default=5"`.
type options struct {
	initial    string
	hasInitial bool
	ttl        *TTL
}

// state reads a state tag. The TTL that was given in code, if any, takes the place of the tag's.
func (d *Declaration) state(ttl *TTL) (name string, o options) {
	name, list := d.name("state", "timer")
	for i, text := range list {
		key, value, _ := strings.Cut(strings.TrimSpace(text), "=")
		if key == "default" { // which may have commas in it, and so is the last
			o.hasInitial = true
			_, o.initial, _ = strings.Cut(strings.Join(list[i:], ","), "=")
			break
		}
		if err := o.set(key, value); err != nil {
			d.fail("state %q: %w", name, err)
		}
	}
	if ttl != nil && ttl.After > 0 {
		o.ttl = ttl
	}
	if o.ttl != nil && o.ttl.After < time.Millisecond {
		d.fail("state %q: a TTL of %v: want ttl=<duration> of a millisecond or more", name, o.ttl.After)
	}
	return name, o
}

func (o *options) set(key, value string) (err error) {
	var t TTL
	if o.ttl != nil {
		t = *o.ttl
	}
	switch key + "=" + value {
	case "refresh=read":
		t.RefreshOnRead = true
	case "refresh=write":
		t.RefreshOnRead = false
	case "expired=return":
		t.ReturnExpired = true
	case "expired=hide":
		t.ReturnExpired = false
	case "clock=event":
		t.EventTime = true
	case "clock=processing":
		t.EventTime = false
	default:
		if key != "ttl" {
			return fmt.Errorf("unknown option %q; there are formerly=<name>, ttl=<duration>, refresh=write or read, expired=hide or return, clock=processing or event, and at the end default=<value>", strings.TrimSuffix(key+"="+value, "="))
		}
		if t.After, err = time.ParseDuration(value); err != nil {
			return fmt.Errorf("option ttl: %w", err)
		}
	}
	o.ttl = &t
	return nil
}

// subtaskState reads the tag of a state that belongs to a subtask, which takes no options.
func (d *Declaration) subtaskState() (name string) {
	name, o := d.state(nil)
	if o.hasInitial || o.ttl != nil {
		d.fail("state %q: a state of a subtask takes neither a TTL nor a default; they are for state of keys", name)
	}
	return name
}

// parseInitial reads the text of a default into the value at p, a pointer.
func parseInitial(p reflect.Value, text string) error {
	if u, ok := p.Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	v := p.Elem()
	bits := int(v.Type().Size()) * 8
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		v.SetInt(int64(d))
		return err
	}
	switch k := v.Kind(); {
	case k == reflect.String:
		v.SetString(text)
	case k == reflect.Bool:
		x, err := strconv.ParseBool(text)
		v.SetBool(x)
		return err
	case v.CanInt():
		x, err := strconv.ParseInt(text, 10, bits)
		v.SetInt(x)
		return err
	case v.CanUint():
		x, err := strconv.ParseUint(text, 10, bits)
		v.SetUint(x)
		return err
	case v.CanFloat():
		x, err := strconv.ParseFloat(text, bits)
		v.SetFloat(x)
		return err
	default:
		return fmt.Errorf("a default in a tag is for numbers, strings, bools, durations and types that implement encoding.TextUnmarshaler; give %v a method InitialState() %v", v.Type(), v.Type())
	}
	return nil
}
