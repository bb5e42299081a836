package cli

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/fastness-dev/fastness/client"
)

// operator raft: who is in the cluster.

func bindRaftJoin(f *flags) action {
	var (
		ca       = f.text("leader-ca-cert", "", "Certificate authority (PEM, or @`file`) to trust the leader by.")
		cert     = f.text("leader-client-cert", "", "Certificate (PEM, or @`file`) to show to the leader.")
		key      = f.text("leader-client-key", "", "Key (PEM, or @`file`) of that certificate.")
		retry    = f.toggle("retry", false, "Go on asking until the cluster answers.")
		nonVoter = f.toggle("non-voter", false, "Never vote.")
	)
	f.text("auto-join-scheme", "", "Not served: name the leader by its address.")
	f.number("auto-join-port", 0, "Not served: name the leader by its address.")
	return func(c *call) error {
		if f.isSet("auto-join-scheme") || f.isSet("auto-join-port") {
			return local("Finding nodes by themselves (auto-join) is not served: give the address of a node of the cluster")
		}
		cl, err := c.clientFor(0, 1)
		if err != nil {
			return err
		}
		address := c.arg(0)
		if address != "" && !strings.Contains(address, "://") {
			return local("The address of the leader must be a URL such as https://vault.example.com:8200")
		}
		o := object{"leader_api_addr": address, "retry": *retry, "non_voter": *nonVoter}
		for name, value := range map[string]string{"leader_ca_cert": *ca, "leader_client_cert": *cert, "leader_client_key": *key} {
			if o[name], err = pemOf(value); err != nil {
				return err
			}
		}
		var got object
		if err := cl.JSON(c.ctx, client.Request{Method: http.MethodPost, Path: "sys/storage/raft/join", Body: body(o), NoToken: true}, &got); err != nil {
			return remote("Error joining the node to the Raft cluster: %w", err)
		}
		if !c.ui.isTable() {
			return c.ui.structured(got)
		}
		c.ui.table([][]string{{"Key", "Value"}, {"Joined", fmt.Sprint(got["joined"])}})
		return nil
	}
}

// pemOf is a value, or what stands in the file behind an @.
func pemOf(value string) (string, error) {
	name, ok := strings.CutPrefix(value, "@")
	if !ok {
		return value, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", local("read certificate: %w", err)
	}
	return string(b), nil
}

type raftPeer struct {
	NodeID  string `json:"node_id"`
	Address string `json:"address"`
	Leader  bool   `json:"leader"`
	Voter   bool   `json:"voter"`
}

func bindRaftPeers(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		a, err := cl.Read(c.ctx, "sys/storage/raft/configuration", nil)
		switch {
		case err != nil:
			return remote("Error reading the raft cluster configuration: %w", err)
		case a == nil:
			return remote("No raft cluster configuration found")
		case !c.ui.isTable():
			return c.ui.structured(printed(a))
		}
		var got struct{ Config struct{ Servers []raftPeer } }
		if err := decodeData(a, &got); err != nil {
			return err
		}
		rows := [][]string{{"Node", "Address", "State", "Voter"}}
		for _, p := range got.Config.Servers {
			state := "follower"
			if p.Leader {
				state = "leader"
			}
			rows = append(rows, []string{p.NodeID, p.Address, state, strconv.FormatBool(p.Voter)})
		}
		c.ui.table(rows)
		return nil
	}
}

// bindRaftPeer is a command on one node, whose name is its argument.
func bindRaftPeer(path, failed, done string) func(*flags) action {
	return func(f *flags) action {
		f.text("dr-token", "", "Accepted and not used.")
		return func(c *call) error {
			cl, err := c.clientFor(1, 1)
			if err != nil {
				return err
			}
			if _, err := put(c, cl, "sys/storage/raft/"+path, object{"server_id": c.arg(0)}); err != nil {
				return remote(failed, err)
			}
			c.ui.success("%s", done)
			return nil
		}
	}
}

const autopilotConfig = "sys/storage/raft/autopilot/configuration"

func bindAutopilotGet(f *flags) action {
	f.text("dr-token", "", "Accepted and not used.")
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		a, err := cl.Read(c.ctx, autopilotConfig, nil)
		switch {
		case err != nil:
			return remote("Error reading the autopilot configuration: %w", err)
		case a == nil:
			return remote("No autopilot configuration found")
		case !c.ui.isTable():
			return c.ui.structured(printed(a))
		}
		d := dataOf(a)
		rows := [][]string{{"Key", "Value"}}
		for _, r := range [][2]string{{"Cleanup Dead Servers", "cleanup_dead_servers"}, {"Last Contact Threshold", "last_contact_threshold"},
			{"Dead Server Last Contact Threshold", "dead_server_last_contact_threshold"}, {"Server Stabilization Time", "server_stabilization_time"},
			{"Min Quorum", "min_quorum"}, {"Max Trailing Logs", "max_trailing_logs"}} {
			rows = append(rows, []string{r[0], d.text(r[1])})
		}
		c.ui.table(rows)
		return nil
	}
}

func bindAutopilotSet(f *flags) action {
	cleanup := f.toggle("cleanup-dead-servers", false, "Remove servers that are gone.")
	trailing := f.number("max-trailing-logs", 0, "How many entries of the log a healthy server may lack.")
	quorum := f.number("min-quorum", 0, "How many voters are left at least when others are removed.")
	contact := f.duration("last-contact-threshold", "How long a healthy server may be silent.")
	dead := f.duration("dead-server-last-contact-threshold", "How long one is silent that is gone.")
	stable := f.duration("server-stabilization-time", "How long a server is healthy before it votes.")
	f.toggle("disable-upgrade-migration", false, "Accepted and not used.")
	f.text("dr-token", "", "Accepted and not used.")
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		o := object{}
		for name, value := range map[string]any{"cleanup-dead-servers": *cleanup, "max-trailing-logs": *trailing, "min-quorum": *quorum,
			"last-contact-threshold": contact.String(), "dead-server-last-contact-threshold": dead.String(), "server-stabilization-time": stable.String()} {
			if f.isSet(name) {
				o[strings.ReplaceAll(name, "-", "_")] = value
			}
		}
		if len(o) == 0 {
			return local("Nothing to set: give at least one of the flags")
		}
		if _, err := put(c, cl, autopilotConfig, o); err != nil {
			return remote("Error writing the autopilot configuration: %w", err)
		}
		c.ui.success("Success! The autopilot is configured.")
		return nil
	}
}

func bindAutopilotState(f *flags) action {
	f.text("dr-token", "", "Accepted and not used.")
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		a, err := cl.Read(c.ctx, "sys/storage/raft/autopilot/state", nil)
		switch {
		case err != nil:
			return remote("Error reading the autopilot state: %w", err)
		case a == nil:
			return remote("No autopilot state found")
		case !c.ui.isTable():
			return c.ui.structured(printed(a))
		}
		c.ui.out(autopilotText(dataOf(a)))
		return nil
	}
}

// autopilotText shows a state in the indented form that Vault prints.
func autopilotText(d object) string {
	var b strings.Builder
	line := func(indent, width int, name, value string) {
		fmt.Fprintf(&b, "%*s%-*s%s\n", indent, "", width-indent, name+":", value)
	}
	line(0, 33, "Healthy", d.text("healthy"))
	line(0, 33, "Failure Tolerance", d.text("failure_tolerance"))
	line(0, 33, "Leader", d.text("leader"))
	for _, list := range [][2]string{{"Voters", "voters"}, {"Non Voters", "non_voters"}} {
		names := d.strings(list[1])
		if len(names) == 0 {
			continue
		}
		b.WriteString(list[0] + ":\n")
		for _, id := range names {
			b.WriteString("   " + id + "\n")
		}
	}
	b.WriteString("Servers:\n")
	servers := d.member("servers")
	for _, id := range slices.Sorted(maps.Keys(servers)) {
		b.WriteString("   " + id + "\n")
		s := servers.member(id)
		for _, r := range [][2]string{{"Name", "name"}, {"Address", "address"}, {"Status", "status"}, {"Node Status", "node_status"},
			{"Healthy", "healthy"}, {"Last Contact", "last_contact"}, {"Last Term", "last_term"}, {"Last Index", "last_index"},
			{"Version", "version"}, {"Node Type", "node_type"}} {
			line(6, 24, r[0], s.text(r[1]))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
