package cli

import "strconv"

// member is a node as sys/ha-status tells of it.
type member struct {
	Host    string `json:"hostname"`
	API     string `json:"api_address"`
	Cluster string `json:"cluster_address"`
	Active  bool   `json:"active_node"`
	Version string `json:"version"`
	Upgrade string `json:"upgrade_version"`
	Zone    string `json:"redundancy_zone"`
	Echo    string `json:"last_echo"`
}

func bindMembers(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		a, err := cl.Read(c.ctx, "sys/ha-status", nil)
		if err != nil {
			return remote("Error listing the nodes of the cluster: %w", err)
		}
		var status struct{ Nodes []member }
		if a != nil && a.Data != nil {
			if err := decodeData(a, &status); err != nil {
				return err
			}
		}
		if !c.ui.isTable() {
			return c.ui.structured(dataOf(a))
		}
		rows := [][]string{{"Host Name", "API Address", "Cluster Address", "Active Node", "Version", "Upgrade Version", "Redundancy Zone", "Last Echo"}}
		for _, m := range status.Nodes {
			rows = append(rows, []string{m.Host, m.API, m.Cluster, strconv.FormatBool(m.Active), m.Version, m.Upgrade, m.Zone, m.Echo})
		}
		c.ui.table(rows)
		return nil
	}
}
