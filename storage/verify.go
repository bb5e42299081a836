package storage

import "fmt"

// Verify opens a row as it is sealed, and says what is wrong with it. It wraps
// [ErrCorrupt] when the row is not what was sealed for its key.
func Verify(s Sealer, r Row) error {
	if _, _, ok := RangeOf(r.Key); !ok {
		return fmt.Errorf("%w: a key of %d bytes", ErrCorrupt, len(r.Key))
	}
	switch r.Key[0] {
	case tableBare:
		return nil
	case tableValue, tableChild, tableOrdered:
	default:
		return fmt.Errorf("%w: a row of unknown table %q", ErrCorrupt, r.Key[0])
	}
	_, err := s.Open(nil, r.Key, r.Value)
	return err
}
