package audit

import (
	"errors"
)

// Clear closes all devices and forgets them: the server seals, and enables them
// anew with the next unseal.
func (b *Broker) Clear() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := *b.list.Load()
	b.list.Store(new([]slot))
	var errs []error
	for _, d := range old {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}
