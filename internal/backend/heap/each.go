package heap

import "reflect"

// Each calls visit for every key that has state, with the handles at its row, group by group, until it returns an error. visit may change and
// clear the state of that key. It is called between batches, and ends them.
func (s *Store[K]) Each(visit func(key K) error) error {
	defer s.EndBatch()
	for g := range s.tables {
		rows := &s.tables[g].rows
		for id := uint32(0); id < rows.next; id++ {
			if !rows.isLive(id) || s.layout.isZero(rows.at(id)) {
				continue
			}
			r := s.refOf(uint32(g), id)
			s.Seek(r)
			if err := visit(*(*K)(r.row)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Unbind makes the state fields of *processor what they are in a new one. Whatever they were bound to is not changed.
func Unbind(processor any) {
	if v := reflect.ValueOf(processor); v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().Kind() == reflect.Struct {
		unbind(v.Elem())
	}
}

func unbind(v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case f.IsExported() && reflect.PointerTo(f.Type).Implements(handleType):
			v.Field(i).SetZero()
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			unbind(v.Field(i))
		}
	}
}
