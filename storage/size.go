package storage

import "slices"

// A Place is where counting goes on; nil is the beginning.
type Place []byte

// Size counts up to n rows of a Tree or Flat range from a place on, without opening
// them, and says where to go on; nil is that there are no more. It is for a View:
// rows that the transaction itself has written are not counted.
func (v Rows) Size(from Place, n int) (count int, next Place, err error) {
	s := v.whole(tableValue)
	if from != nil {
		s.from = from
	}
	err = v.tx.snap.rows.Scan(s.from, s.to, func(key, _ []byte) bool {
		if count == n {
			next = slices.Clone(key)
			return false
		}
		count++
		return true
	})
	return count, next, err
}
