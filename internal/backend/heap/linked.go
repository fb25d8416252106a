package heap

// linked is the table of a map or list column.
type linked interface{}
