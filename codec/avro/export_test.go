package avro

// Resolve returns why values under one schema cannot be read under another, if so.
func Resolve(now, old string) (any, error) {
	own, err := parse(now)
	if err != nil {
		return nil, err
	}
	return resolve(own, 1, []byte(old))
}
