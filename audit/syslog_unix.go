//go:build unix

package audit

import (
	"bytes"
	"log/syslog"
	"strings"
)

var facilities = map[string]syslog.Priority{
	"KERN": syslog.LOG_KERN, "USER": syslog.LOG_USER, "MAIL": syslog.LOG_MAIL, "DAEMON": syslog.LOG_DAEMON,
	"AUTH": syslog.LOG_AUTH, "SYSLOG": syslog.LOG_SYSLOG, "LPR": syslog.LOG_LPR, "NEWS": syslog.LOG_NEWS,
	"UUCP": syslog.LOG_UUCP, "CRON": syslog.LOG_CRON, "AUTHPRIV": syslog.LOG_AUTHPRIV, "FTP": syslog.LOG_FTP,
	"LOCAL0": syslog.LOG_LOCAL0, "LOCAL1": syslog.LOG_LOCAL1, "LOCAL2": syslog.LOG_LOCAL2, "LOCAL3": syslog.LOG_LOCAL3,
	"LOCAL4": syslog.LOG_LOCAL4, "LOCAL5": syslog.LOG_LOCAL5, "LOCAL6": syslog.LOG_LOCAL6, "LOCAL7": syslog.LOG_LOCAL7,
}

func (o *options) syslog() sink {
	name, tag := o.get("facility"), o.get("tag")
	if name == "" {
		name = "AUTH"
	}
	if tag == "" {
		tag = "vault"
	}
	facility, ok := facilities[strings.ToUpper(name)]
	if !ok {
		o.refuse("facility", "must be a syslog facility, such as AUTH or LOCAL0")
	}
	return &systemLog{priority: facility | syslog.LOG_INFO, tag: tag}
}

// systemLog sends each line to this machine's syslog.
type systemLog struct {
	priority syslog.Priority
	tag      string
	to       *syslog.Writer
}

func (s *systemLog) write(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	if s.to == nil {
		to, err := syslog.New(s.priority, s.tag)
		if err != nil {
			return err
		}
		s.to = to
	}
	for line := range bytes.Lines(lines) {
		if _, err := s.to.Write(line); err != nil {
			return err
		}
	}
	return nil
}

func (*systemLog) reload() error { return nil }

func (*systemLog) prompt() bool { return false }

func (s *systemLog) close() error {
	if s.to == nil {
		return nil
	}
	return s.to.Close()
}
