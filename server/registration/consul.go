package registration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// A Consul registers the node as a service at the local agent, tagged "active" or
// "standby", with a check that passes while the node is unsealed. The agent fails
// the check by itself when it hears nothing for the time of the check.
type Consul struct {
	Client  *http.Client
	URL     string // of the agent
	Token   string
	Service string
	ID      string // of this node's service
	Tags    []string
	Host    string // "" leaves it to the agent
	Port    int
	TTL     string // of the check, as Consul spells durations
}

type consulService struct {
	ID      string      `json:"ID"`
	Name    string      `json:"Name"`
	Tags    []string    `json:"Tags"`
	Address string      `json:"Address,omitempty"`
	Port    int         `json:"Port"`
	Check   consulCheck `json:"Check"`
}

type consulCheck struct {
	ID     string `json:"CheckID"`
	Name   string `json:"Name"`
	TTL    string `json:"TTL"`
	Status string `json:"Status"`
}

// Tell registers anew, which replaces tags and renews the check.
func (c *Consul) Tell(ctx context.Context, s State) error {
	tags := slices.Clone(c.Tags)
	switch {
	case s.Active:
		tags = append(tags, "active")
	case s.PerfStandby:
		tags = append(tags, "standby", "performance-standby")
	default:
		tags = append(tags, "standby")
	}
	if s.Initialized {
		tags = append(tags, "initialized")
	}
	if err := c.put(ctx, "service/register", consulService{ID: c.ID, Name: c.Service, Tags: tags, Address: c.Host, Port: c.Port,
		Check: consulCheck{ID: c.check(), Name: "Vault Sealed Status", TTL: c.TTL, Status: "critical"}}); err != nil {
		return err
	}
	status := "passing"
	if s.Sealed {
		status = "critical"
	}
	return c.put(ctx, "check/update/"+url.PathEscape(c.check()), struct {
		Status string `json:"Status"`
		Output string `json:"Output"`
	}{status, map[bool]string{true: "Vault Sealed", false: "Vault Unsealed"}[s.Sealed]})
}

func (c *Consul) check() string { return c.ID + ":vault-sealed-check" }

// Leave takes the service out.
func (c *Consul) Leave(ctx context.Context) error {
	return c.put(ctx, "service/deregister/"+url.PathEscape(c.ID), nil)
}

func (c *Consul) put(ctx context.Context, path string, what any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("encode for Consul: %w", err)
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPut, c.URL+"/v1/agent/"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask Consul's agent: %w", err)
	}
	q.Header.Set("Content-Type", "application/json")
	if c.Token != "" {
		q.Header.Set("X-Consul-Token", c.Token)
	}
	return send(c.Client, q, "ask Consul's agent")
}
