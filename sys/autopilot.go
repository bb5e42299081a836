package sys

import (
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/raft/autopilot"
)

// rowAutopilot is a row of storage.System.
const rowAutopilot = "autopilot"

// AutopilotConfig is what is configured, or Vault's defaults.
func AutopilotConfig(tx *storage.Tx) (autopilot.Config, error) {
	c, err := storage.In[autopilot.Config](tx.In(storage.System), "").Get(rowAutopilot)
	if err != nil || c == nil {
		return autopilot.Default(), err
	}
	return *c, nil
}

// shownAutopilot spells durations as Vault answers them here: 24h0m0s.
type shownAutopilot struct {
	Cleanup       bool   `json:"cleanup_dead_servers"`
	DeadContact   string `json:"dead_server_last_contact_threshold"`
	LastContact   string `json:"last_contact_threshold"`
	MaxTrailing   uint64 `json:"max_trailing_logs"`
	MinQuorum     int    `json:"min_quorum"`
	Stabilization string `json:"server_stabilization_time"`
}

func (s *System) readAutopilot(v engine.View, _ engine.None) (*shownAutopilot, error) {
	if s.Cluster == nil {
		return nil, engine.ErrNoRoute
	}
	c, err := AutopilotConfig(engine.CallOf(v).Whole)
	if err != nil {
		return nil, err
	}
	return &shownAutopilot{c.CleanupDeadServers, c.DeadServerLastContactThreshold.String(), c.LastContactThreshold.String(),
		c.MaxTrailingLogs, c.MinQuorum, c.ServerStabilizationTime.String()}, nil
}

type autopilotRequest struct {
	Cleanup       *bool                  `json:"cleanup_dead_servers" doc:"Remove servers that are gone."`
	LastContact   *engine.SignedDuration `json:"last_contact_threshold" doc:"How long a healthy server may be silent."`
	DeadContact   *engine.SignedDuration `json:"dead_server_last_contact_threshold" doc:"How long one is silent that is gone; a minute at least."`
	MaxTrailing   *int64                 `json:"max_trailing_logs" doc:"How many entries of the log a healthy server may lack."`
	MinQuorum     *int64                 `json:"min_quorum" doc:"How many voters are left at least when others are removed; 3 at least."`
	Stabilization *engine.SignedDuration `json:"server_stabilization_time" doc:"How long a server is healthy before it votes."`
	NoMigration   bool                   `json:"disable_upgrade_migration" doc:"Not used."`
	DRToken       string                 `json:"dr_operation_token" doc:"Not used."`
}

// writeAutopilot changes what was sent. As in Vault, a number or time that is 0
// counts as not sent.
func (s *System) writeAutopilot(tx engine.Tx, req autopilotRequest) (engine.None, error) {
	if s.Cluster == nil {
		return engine.None{}, engine.ErrNoRoute
	}
	whole := engine.CallOf(tx).Whole
	c, err := AutopilotConfig(whole)
	if err != nil {
		return engine.None{}, err
	}
	if req.Cleanup != nil {
		c.CleanupDeadServers = *req.Cleanup
	}
	if n := req.MaxTrailing; n != nil && *n < 0 {
		return engine.None{}, engine.Bad("max_trailing_logs should not be negative; received: %d", *n)
	} else if n != nil && *n > 0 {
		c.MaxTrailingLogs = uint64(*n)
	}
	setUnlessZero(&c.MinQuorum, req.MinQuorum)
	setUnlessZero(&c.LastContactThreshold, req.LastContact)
	setUnlessZero(&c.DeadServerLastContactThreshold, req.DeadContact)
	setUnlessZero(&c.ServerStabilizationTime, req.Stabilization)
	if err := c.Validate(); err != nil {
		return engine.None{}, engine.Bad("%s", err)
	}
	storage.In[autopilot.Config](whole.In(storage.System), "").Put(rowAutopilot, &c)
	return engine.None{}, nil
}

// setUnlessZero takes over a number that was sent and is not 0.
func setUnlessZero[T, F ~int | ~int64](to *T, from *F) {
	if from != nil && *from != 0 {
		*to = T(*from)
	}
}
