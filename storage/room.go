package storage

// room says whether there is space for what a transaction wrote. With little
// left, nothing is added, so that what gives space back can still be written:
// a transaction that removes at least as many rows as it puts, as revocations
// and deletions do. The keyring may be written too: a node whose disk is full
// must be able to unseal.
func (s *Store) room(b *buffer) bool {
	if s.log.Full() {
		return false
	}
	return b.frees() || !s.state.Full()
}

func (b *buffer) frees() bool {
	if len(b.drops) > 0 {
		return true
	}
	n := 0
	for k, r := range b.rows {
		switch {
		case k[0] == tableBare:
			return true
		case r.present:
			n++
		default:
			n--
		}
	}
	return n <= 0
}
