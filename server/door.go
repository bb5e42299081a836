package server

import (
	"math"
	"net/http"
	"strings"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/sys"
	"github.com/fastness-dev/fastness/wire"
)

// A door is what one listener's options change about the API behind it. The
// zero door has Vault's limits, opens nothing and hides nothing.
type door struct {
	limits wire.Limits
	open   map[string]bool // paths that need no token here
	pprof  bool            // so do those of sys/pprof
	chroot string          // the namespace that requests' own are below; "" is the root

	redactAddresses, redactClusterName, redactVersion bool
}

func newDoor(l config.Listener, limits config.Limits) *door {
	d := &door{
		limits: wire.Limits{MaxBody: limits.RequestSize, MaxDepth: bound(limits.JSONDepth), MaxString: bound(limits.JSONString),
			MaxFields: bound(limits.JSONObject), MaxItems: bound(limits.JSONArray), MaxTokens: bound(limits.JSONTokens),
			MaxToken: bound(limits.TokenHeader)},
		open:   map[string]bool{},
		pprof:  l.UnauthenticatedPprof,
		chroot: l.ChrootNamespace,

		redactAddresses: l.RedactAddresses, redactClusterName: l.RedactClusterName, redactVersion: l.RedactVersion,
	}
	unlock := func(when bool, paths ...string) {
		for _, p := range paths {
			if when {
				d.open[p] = true
			}
		}
	}
	unlock(l.UnauthenticatedMetrics, "sys/metrics")
	unlock(l.UnauthenticatedInFlight, "sys/in-flight-req")
	unlock(!l.DisableUnauthedRekey, "sys/rekey/init", "sys/rekey/update", "sys/rekey/verify",
		"sys/rekey-recovery-key/init", "sys/rekey-recovery-key/update", "sys/rekey-recovery-key/verify")
	unlock(!l.DisableUnauthedGenRoot, "sys/generate-root/attempt", "sys/generate-root/update")
	return d
}

// namespace is the one that a request is for, by its header's.
func (d *door) namespace(asked string) string {
	if d.chroot == "" || asked == "" {
		return d.chroot + asked
	}
	return d.chroot + "/" + asked
}

// opens says that path needs no token here. All such paths are of sys.
func (d *door) opens(path string) bool {
	return strings.HasPrefix(path, "sys/") && (d.open[path] || d.pprof && isPprof(path))
}

func isPprof(path string) bool { return path == "sys/pprof" || strings.HasPrefix(path, "sys/pprof/") }

// tellsStrangers says that path is one that tells how the node is, and that is
// open here: it answers while the node is sealed too, and is not recorded.
func (d *door) tellsStrangers(path string) bool {
	return d.opens(path) && (path == "sys/metrics" || path == "sys/in-flight-req" || isPprof(path))
}

func bound(v int64) int { return int(min(v, math.MaxInt)) }

// redact takes out of an answer what the listener is not to tell strangers:
// those of the routes that need no token.
func (d *door) redact(a *engine.Answer) {
	if a == nil {
		return
	}
	var version, build, cluster, address, clusterAddress *string
	switch t := a.Data.(type) {
	case *sys.Health:
		version, cluster = &t.Version, &t.ClusterName
		if d.redactVersion {
			t.FastnessVersion = ""
		}
	case *sys.SealStatus:
		version, build, cluster = &t.Version, &t.BuildDate, &t.ClusterName
		if d.redactVersion {
			t.FastnessVersion = ""
		}
	case *sys.Leader:
		address, clusterAddress = &t.Address, &t.ClusterAddress
	}
	blank(d.redactVersion, version, build)
	blank(d.redactClusterName, cluster)
	blank(d.redactAddresses, address, clusterAddress)
}

func blank(when bool, texts ...*string) {
	for _, t := range texts {
		if when && t != nil {
			*t = ""
		}
	}
}

// refused answers what this listener does not serve at all.
func refused(l config.Listener, path string) error {
	const metrics = "/v1/sys/metrics"
	switch {
	case l.DisallowMetrics && path == metrics:
		return engine.Status(http.StatusForbidden, "metrics endpoint is disabled for this listener")
	case (l.MetricsOnly || l.Role == "metrics_only") && path != metrics:
		return engine.Status(http.StatusNotFound, "this listener only serves the metrics endpoint")
	case l.DisableReplicationStatus && isReplicationStatus(path):
		return engine.Status(http.StatusForbidden, "replication status endpoints are disabled for this listener")
	}
	return nil
}

// isReplicationStatus knows the paths below a namespace too.
func isReplicationStatus(path string) bool {
	for _, p := range []string{"/sys/replication/status", "/sys/replication/dr/status", "/sys/replication/performance/status"} {
		if strings.HasSuffix(path, p) {
			return true
		}
	}
	return false
}
