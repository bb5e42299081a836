//go:build !unix

package audit

func (o *options) syslog() sink {
	o.refuse("type", "syslog does not exist on this system")
	return nil
}
