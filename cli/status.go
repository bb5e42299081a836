package cli

import (
	"fmt"
	"net/http"

	"github.com/fastness-dev/fastness/client"
)

// status and the table that unseal shares with it.

func bindStatus(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		s, err := sealStatus(c, cl)
		if err != nil {
			// Here 2 means sealed, so everything that went wrong is 1.
			return local("Error checking seal status: %w", err)
		}
		if err := c.showStatus(cl, s); err != nil {
			return err
		}
		if s["sealed"] == true {
			return silent(exitServer)
		}
		return nil
	}
}

func sealStatus(c *call, cl *client.Client) (object, error) {
	var s object
	err := cl.JSON(c.ctx, client.Request{Method: http.MethodGet, Path: "sys/seal-status", NoToken: true}, &s)
	return s, err
}

// showStatus prints a seal status together with what sys/leader adds once the
// server is unsealed.
func (c *call) showStatus(cl *client.Client, s object) error {
	leader := object{}
	if s["sealed"] == true {
		// A sealed server tells no leader, but of this storage that it has one.
		leader["ha_enabled"] = s.text("storage_type") == "raft"
	} else {
		// A server that cannot tell its leader has still a seal status to show.
		_ = live(cl).JSON(c.ctx, client.Request{Method: http.MethodGet, Path: "sys/leader", NoToken: true}, &leader)
	}
	if !c.ui.isTable() {
		merged := object{}
		for k, v := range s {
			merged[k] = v
		}
		if _, ok := leader["ha_enabled"]; !ok {
			leader["ha_enabled"] = false
		}
		for k, v := range leader {
			merged[k] = v
		}
		return c.ui.structured(merged)
	}
	c.ui.table(statusRows(s, leader))
	return nil
}

func statusRows(s, leader object) [][]string {
	rows := [][]string{{"Key", "Value"}}
	add := func(k string, v any) { rows = append(rows, []string{k, fmt.Sprint(v)}) }
	kind := ""
	if s["recovery_seal"] == true {
		kind = "Recovery "
	}
	add("Seal Type", s.text("type"))
	if kind != "" {
		add("Recovery Seal Type", "shamir")
	}
	add("Initialized", s["initialized"])
	add("Sealed", s["sealed"])
	add("Total "+kind+"Shares", s["n"])
	add("Threshold", s["t"])
	if s["sealed"] == true {
		add("Unseal Progress", s.text("progress")+"/"+s.text("t"))
		add("Unseal Nonce", s.text("nonce"))
	}
	if s["migration"] == true {
		add("Seal Migration in Progress", true)
	}
	add("Version", s.text("version"))
	add("Build Date", s.text("build_date"))
	add("Storage Type", s.text("storage_type"))
	if s.text("cluster_name") != "" {
		add("Cluster Name", s.text("cluster_name"))
		add("Cluster ID", s.text("cluster_id"))
	}
	ha := leader["ha_enabled"] == true
	add("HA Enabled", ha)
	if !ha || s["sealed"] == true {
		return rows
	}
	return append(rows, haRows(leader)...)
}

func haRows(l object) [][]string {
	mode := "standby"
	if l["is_self"] == true {
		mode = "active"
	}
	orNone := func(name string) string { return orElse(l.text(name), "<none>") }
	rows := [][]string{{"HA Cluster", orNone("leader_cluster_address")}, {"HA Mode", mode}}
	if mode == "active" {
		rows = append(rows, []string{"Active Since", l.text("active_time")})
	} else {
		rows = append(rows, []string{"Active Node Address", orNone("leader_address")})
	}
	if l.text("raft_committed_index") != "" {
		rows = append(rows,
			[]string{"Raft Committed Index", l.text("raft_committed_index")},
			[]string{"Raft Applied Index", l.text("raft_applied_index")})
	}
	return rows
}
