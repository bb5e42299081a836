package cli

import (
	"fmt"
	"strings"
)

// A mountRow is what a list of mounts tells of one.
type mountRow struct {
	Type            string            `json:"type"`
	Description     string            `json:"description"`
	Accessor        string            `json:"accessor"`
	UUID            string            `json:"uuid"`
	Local           bool              `json:"local"`
	SealWrap        bool              `json:"seal_wrap"`
	Entropy         bool              `json:"external_entropy_access"`
	Options         map[string]string `json:"options"`
	Version         string            `json:"plugin_version"`
	RunningVersion  string            `json:"running_plugin_version"`
	RunningSHA256   string            `json:"running_sha256"`
	DeprecationText string            `json:"deprecation_status"`
	Config          struct {
		DefaultTTL int64  `json:"default_lease_ttl"`
		MaxTTL     int64  `json:"max_lease_ttl"`
		NoCache    bool   `json:"force_no_cache"`
		TokenType  string `json:"token_type"`
	} `json:"config"`
}

func (m mountRow) replication() string {
	if m.Local {
		return "local"
	}
	return "replicated"
}

// systemTTL shows 0 as what it means: the server's own default.
func systemTTL(n int64) string {
	if n == 0 {
		return "system"
	}
	return fmt.Sprint(n)
}

func bindMountList(t tree) action {
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		a, err := cl.Read(c.ctx, strings.TrimSuffix(t.at, "/"), nil)
		if err != nil {
			return remote("Error listing %ss: %w", t.thing, err)
		}
		if !c.ui.isTable() {
			return c.ui.structured(dataOf(a))
		}
		var rows map[string]mountRow
		if err := decodeData(a, &rows); err != nil {
			return err
		}
		c.ui.table(mountTable(rows, t, c.ui.detailed))
		return nil
	}
}

func mountTable(mounts map[string]mountRow, t tree, detailed bool) [][]string {
	auth := t.under != ""
	var head []string
	switch {
	case !detailed && auth:
		head = []string{"Path", "Type", "Accessor", "Description", "Version"}
	case !detailed:
		head = []string{"Path", "Type", "Accessor", "Description"}
	case auth:
		head = []string{"Path", "Plugin", "Accessor", "Default TTL", "Max TTL", "Token Type", "Replication", "Seal Wrap",
			"External Entropy Access", "Options", "Description", "UUID", "Version", "Running Version", "Running SHA256", "Deprecation Status"}
	default:
		head = []string{"Path", "Plugin", "Accessor", "Default TTL", "Max TTL", "Force No Cache", "Replication", "Seal Wrap",
			"External Entropy Access", "Options", "Description", "UUID", "Version", "Running Version", "Running SHA256", "Deprecation Status"}
	}
	rows := [][]string{head}
	for _, path := range sortedNames(mounts) {
		m := mounts[path]
		switch {
		case !detailed && auth:
			rows = append(rows, []string{path, m.Type, m.Accessor, m.Description, m.Version})
		case !detailed:
			rows = append(rows, []string{path, m.Type, m.Accessor, m.Description})
		default:
			special := fmt.Sprint(m.Config.NoCache)
			if auth {
				special = m.Config.TokenType
			}
			rows = append(rows, []string{path, m.Type, m.Accessor, systemTTL(m.Config.DefaultTTL), systemTTL(m.Config.MaxTTL),
				special, m.replication(), fmt.Sprint(m.SealWrap), fmt.Sprint(m.Entropy), fmt.Sprint(m.Options),
				m.Description, m.UUID, m.Version, m.RunningVersion, m.RunningSHA256, m.DeprecationText})
		}
	}
	return rows
}

func underscored(flag string) string { return strings.ReplaceAll(flag, "-", "_") }
