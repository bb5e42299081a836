package listener

import "github.com/fastness-dev/fastness/server/config"

var ReadProxyHeader = readProxyHeader

// Times are the limits that HTTP is served with.
func (l *Listener) Times() config.Timeouts {
	return config.Timeouts{ReadHeader: l.http.ReadHeaderTimeout, Read: l.http.ReadTimeout, Write: l.http.WriteTimeout, Idle: l.http.IdleTimeout}
}
