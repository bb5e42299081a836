package sys

import (
	"net/http"
	"strconv"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

type healthRequest struct {
	Active  string  `json:"activecode" doc:"Status code for an active node."`
	Standby string  `json:"standbycode" doc:"Status code for a standby."`
	Sealed  string  `json:"sealedcode" doc:"Status code for a sealed node."`
	Uninit  string  `json:"uninitcode" doc:"Status code before init."`
	Removed string  `json:"removedcode" doc:"Status code for a node that was removed."`
	HaDown  string  `json:"haunhealthycode" doc:"Status code for a standby without an active node."`
	DR      string  `json:"drsecondarycode" doc:"Status code for a DR secondary."`
	Perf    string  `json:"performancestandbycode" doc:"Status code for a performance standby."`
	OK      *string `json:"standbyok" doc:"Answer for a standby as for an active node."`
	PerfOK  *string `json:"perfstandbyok" doc:"Answer for a performance standby as for an active node."`
}

// Health is the answer of sys/health.
type Health struct {
	Initialized     bool   `json:"initialized"`
	Sealed          bool   `json:"sealed"`
	Standby         bool   `json:"standby"`
	PerfStandby     bool   `json:"performance_standby"`
	PerfMode        string `json:"replication_performance_mode"`
	DRMode          string `json:"replication_dr_mode"`
	Time            int64  `json:"server_time_utc"` // seconds since 1970
	Version         string `json:"version"`
	Enterprise      bool   `json:"enterprise"`
	ClusterName     string `json:"cluster_name,omitempty"`
	ClusterID       string `json:"cluster_id,omitempty"`
	EchoDuration    int64  `json:"echo_duration_ms"`
	ClockSkew       int64  `json:"clock_skew_ms"`
	CanaryAge       int64  `json:"replication_primary_canary_age_ms"`
	Removed         *bool  `json:"removed_from_cluster,omitempty"`
	FastnessVersion string `json:"fastness_version"`
}

func (s *System) health(v engine.View, req healthRequest) (*engine.Answer, error) {
	codes := map[string]int{"active": http.StatusOK, "sealed": http.StatusServiceUnavailable, "uninit": http.StatusNotImplemented,
		"standby": http.StatusTooManyRequests, "perf": 473, "ha": 474, "removed": 530}
	for name, text := range map[string]string{"active": req.Active, "sealed": req.Sealed, "uninit": req.Uninit,
		"standby": req.Standby, "removed": req.Removed, "ha": req.HaDown, "dr": req.DR, "perf": req.Perf} {
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 100 || n > 999 {
			return nil, engine.Status(http.StatusBadRequest, "the status code for %s must be a number from 100 to 999", name)
		}
		codes[name] = n
	}
	st, err := s.Status(v.Context())
	if err != nil {
		return nil, err
	}
	h := &Health{Initialized: st.Initialized, Sealed: st.Sealed, Standby: st.Sealed, PerfMode: "disabled", DRMode: "disabled",
		Time: time.Now().Unix(), Version: st.Version, ClusterName: st.ClusterName, ClusterID: st.ClusterID, FastnessVersion: st.FastnessVersion}
	h.Removed = st.Removed
	state := "active"
	switch {
	case !st.Initialized:
		state, h.PerfMode, h.DRMode = "uninit", "unknown", "unknown"
	case st.Removed != nil:
		state = "removed"
	case st.Sealed:
		state, h.PerfMode, h.DRMode = "sealed", "unknown", "unknown"
	case s.Cluster != nil:
		stand := s.Cluster.Standing()
		h.Standby = !stand.Active
		h.PerfStandby = h.Standby // it answers reads
		state = req.follower(stand)
	}
	return &engine.Answer{Data: h, Status: codes[state]}, nil
}

// asked says that a parameter is there: alone, or with a value that is not no.
func asked(p *string) bool { return p != nil && *p != "false" && *p != "0" }

// follower names the state of an unsealed node. One that does not lead is what
// Vault calls a standby and, since it answers reads, also a performance standby.
// Which of the two a check means is told by its parameters; without any it is a
// standby, as in the editions that have no other.
func (q healthRequest) follower(stand Standing) string {
	switch {
	case stand.Active:
		return "active"
	case stand.LeaderAPI == "" && q.HaDown != "":
		return "ha"
	case asked(q.PerfOK) || asked(q.OK):
		return "active"
	case stand.LeaderAPI == "" && q.Standby == "" && q.Perf == "":
		return "ha"
	case q.Perf != "":
		return "perf"
	}
	return "standby"
}

// Leader is the answer of sys/leader.
type Leader struct {
	HAEnabled      bool      `json:"ha_enabled"`
	IsSelf         bool      `json:"is_self"`
	ActiveTime     time.Time `json:"active_time"`
	Address        string    `json:"leader_address"`
	ClusterAddress string    `json:"leader_cluster_address"`
	PerfStandby    bool      `json:"performance_standby"`
	LastWAL        int64     `json:"performance_standby_last_remote_wal"`
	Committed      uint64    `json:"raft_committed_index,omitempty"`
	Applied        uint64    `json:"raft_applied_index,omitempty"`
}

func (s *System) leader(v engine.View, _ engine.None) (*Leader, error) {
	if s.Cluster == nil {
		return &Leader{}, nil
	}
	if !s.Serving() {
		return nil, storage.ErrSealed
	}
	stand := s.Cluster.Standing()
	a := &Leader{HAEnabled: true, IsSelf: stand.Active, PerfStandby: !stand.Active, Address: stand.LeaderAPI,
		ClusterAddress: stand.LeaderCluster, Committed: stand.Committed, Applied: stand.Applied}
	if stand.Active {
		a.ActiveTime = stand.Since.UTC()
	}
	return a, nil
}
