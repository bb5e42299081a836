package autopilot

import (
	"fmt"
	"time"
)

// A Config says when a server counts as healthy and when as gone.
type Config struct {
	// CleanupDeadServers lets servers be removed that are gone.
	CleanupDeadServers bool `json:"cleanup_dead_servers"`
	// LastContactThreshold is how long a healthy server may be silent.
	LastContactThreshold time.Duration `json:"last_contact_threshold"`
	// DeadServerLastContactThreshold is how long one is silent that is gone.
	DeadServerLastContactThreshold time.Duration `json:"dead_server_last_contact_threshold"`
	// MaxTrailingLogs is how many entries a healthy server may lack.
	MaxTrailingLogs uint64 `json:"max_trailing_logs"`
	// MinQuorum is how many voters are left at least when others are removed.
	MinQuorum int `json:"min_quorum"`
	// ServerStabilizationTime is how long a server is healthy before it votes.
	ServerStabilizationTime time.Duration `json:"server_stabilization_time"`
}

// Default is what Vault begins with.
func Default() Config {
	return Config{LastContactThreshold: 10 * time.Second, DeadServerLastContactThreshold: 24 * time.Hour,
		MaxTrailingLogs: 1000, ServerStabilizationTime: 10 * time.Second}
}

// smallestCleanup is the least min_quorum with which servers are removed: of
// fewer than three voters none can be spared.
const smallestCleanup = 3

// Validate says what is wrong with c, naming the field as Vault does.
func (c Config) Validate() error {
	switch {
	case c.LastContactThreshold <= 0:
		return fmt.Errorf("last_contact_threshold should be greater than 0; received: %s", c.LastContactThreshold)
	case c.DeadServerLastContactThreshold < time.Minute:
		return fmt.Errorf("dead_server_last_contact_threshold should not be set to less than 1m; received: %v", c.DeadServerLastContactThreshold.Seconds())
	case c.ServerStabilizationTime < 0:
		return fmt.Errorf("server_stabilization_time should not be negative; received: %s", c.ServerStabilizationTime)
	case c.MinQuorum < 0:
		return fmt.Errorf("min_quorum should not be negative; received: %d", c.MinQuorum)
	case c.CleanupDeadServers && c.MinQuorum < smallestCleanup:
		return fmt.Errorf("min_quorum must be set when cleanup_dead_servers is set and it should at least be %d; cleanup_dead_servers: %t, min_quorum: %d",
			smallestCleanup, c.CleanupDeadServers, c.MinQuorum)
	}
	return nil
}
