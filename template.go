package weir

import (
	"errors"
	"fmt"
	"reflect"
)

// copyOf returns a copy of a processor for one subtask: a pointer to a new struct if the processor is a struct or a pointer to one, and
// else the processor itself, which then has no fields to be shared.
func copyOf[P any](template P) P {
	v := reflect.ValueOf(template)
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(v.Elem())
		return c.Interface().(P)
	}
	if v.Kind() == reflect.Struct {
		c := reflect.New(v.Type())
		c.Elem().Set(v)
		return c.Interface().(P) // the methods of a struct are methods of its pointer too
	}
	return template
}

// checkTemplate reports the fields of a processor that all its copies would share.
func checkTemplate(processor any) error {
	v := reflect.ValueOf(processor)
	if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return errors.New("the processor is nil")
	}
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil
	}
	var errs []error
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch f.Type.Kind() {
		case reflect.Map, reflect.Pointer, reflect.Chan, reflect.Slice:
			if f.Tag.Get("weir") != "shared" && !v.Field(i).IsNil() {
				errs = append(errs, fmt.Errorf("field %s is a %s that all subtasks would share: make it in Open, keep it in state, or tag it `weir:\"shared\"` if it is never changed", f.Name, f.Type.Kind()))
			}
		}
	}
	return errors.Join(errs...)
}
