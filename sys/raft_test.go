package sys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/seal"
)

// three is a cluster of three nodes that writes down what it is asked.
type three struct {
	alone
	asked   []string
	joining *seal.Config
	enter   error
}

func (c *three) Members(context.Context) ([]Member, error) {
	return []Member{{NodeID: "a", API: "http://a", Cluster: "https://a:8201", Leader: true, Voter: true},
		{NodeID: "b", Cluster: "https://b:8201", Voter: true, Heard: began}, {NodeID: "c", Cluster: "c:8201", Stays: true}}, nil
}

func (c *three) note(format string, args ...any) {
	c.asked = append(c.asked, fmt.Sprintf(format, args...))
}

func (c *three) Join(_ context.Context, q JoinRequest) error {
	c.note("join %s retry %t non-voter %t", q.Leaders[0].Address, q.Retry, q.NonVoter)
	return nil
}
func (c *three) Joining() *seal.Config { return c.joining }
func (c *three) Enter(context.Context, []byte) error {
	c.note("enter")
	return c.enter
}
func (c *three) Remove(_ context.Context, id string) error  { c.note("remove %s", id); return nil }
func (c *three) Promote(_ context.Context, id string) error { c.note("promote %s", id); return nil }
func (c *three) Demote(_ context.Context, id string) error {
	c.note("demote %s", id)
	return ErrNotVoter
}
func (c *three) StepDown(context.Context) error { c.note("step down"); return nil }
func (c *three) Challenge(_ context.Context, id string) (*Challenge, error) {
	return &Challenge{[]byte("number"), []byte("wrapped"), &seal.Config{Type: seal.Shamir, Shares: 5, Threshold: 3}}, nil
}
func (c *three) Admit(_ context.Context, p Proof) (*Admission, error) {
	c.note("admit %s at %s with %s to %s", p.NodeID, p.Cluster, p.Answer, p.Challenge)
	if string(p.Answer) != "right" {
		return nil, fmt.Errorf("proof: %w", ErrChallenge)
	}
	return &Admission{[]byte("reply"), []byte("seal")}, nil
}

// ask runs a route of a system outside of the pipeline.
func (v *vault) ask(t *testing.T, op engine.Op, path, body string) (string, error) {
	t.Helper()
	in, err := v.sys.Type().Open(engine.Mount{Path: "sys/"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := in.Find(op, path)
	if err != nil {
		t.Fatal(err)
	}
	var a *engine.Answer
	err = v.sys.Store.View(t.Context(), func(tx *storage.Tx) error {
		a, err = m.Run(&engine.Call{Ctx: t.Context(), By: &engine.Caller{}, Whole: tx, Body: json.RawMessage(body)})
		return err
	})
	if err != nil || a == nil {
		return "", err
	}
	b, err := json.Marshal(a.Data)
	return string(b), err
}

func TestANodeOfThreeAsksTheCluster(t *testing.T) {
	v, c := newVault(t), &three{}
	c.s, v.sys.Cluster = v.sys, c
	for _, step := range []struct {
		path, body string
		op         engine.Op
		answer     string // part of it, or of the refusal
		asked      string
	}{
		{"storage/raft/configuration", "", engine.OpRead, `{"node_id":"c","address":"c:8201","leader":false,"protocol_version":"3","voter":false}`, ""},
		{"ha-status", "", engine.OpRead, `"last_echo":"2026-03-01T12:00:00Z"`, ""},
		{"storage/raft/autopilot/state", "", engine.OpRead, `"status":"non-voter","version":"","node_type":"non-voter"`, ""},
		{"storage/raft/remove-peer", `{"server_id":"b"}`, engine.OpWrite, "", "remove b"},
		{"storage/raft/promote", `{"server_id":"c"}`, engine.OpWrite, "", "promote c"},
		{"storage/raft/demote", `{"server_id":"c"}`, engine.OpWrite, "server is not a voter", "demote c"},
		{"storage/raft/demote", `{}`, engine.OpWrite, "no server id provided", ""},
		{"step-down", `{}`, engine.OpWrite, "", "step down"},
		{"storage/raft/bootstrap/challenge", `{"server_id":"d"}`, engine.OpWrite, `"challenge":"bnVtYmVy","seal_config":{"type":"shamir","secret_shares":5,"secret_threshold":3`, ""},
		{"storage/raft/bootstrap/answer", `{"server_id":"d","answer":"cmlnaHQ=","challenge":"bnVtYmVy","cluster_addr":"d:8201"}`, engine.OpWrite, `{"reply":"cmVwbHk=","seal":"c2VhbA=="}`, "admit d at d:8201 with right to number"},
		{"storage/raft/bootstrap/answer", `{"server_id":"d","answer":"AAAA","cluster_addr":"d:8201"}`, engine.OpWrite, "invalid answer given", "admit d at d:8201 with \x00\x00\x00 to "},
		{"storage/raft/bootstrap/answer", `{"server_id":"d","answer":"?","cluster_addr":"d:8201"}`, engine.OpWrite, "could not base64 decode answer", ""},
		{"storage/raft/join", `{"leader_api_addr":"http://a"}`, engine.OpWrite, `{"joined":true}`, ""}, // it is a member
	} {
		c.asked = nil
		got, err := v.ask(t, step.op, step.path, step.body)
		var told *api.Error
		if errors.As(err, &told) {
			got = told.Errors[0]
		} else if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got, step.answer) {
			t.Errorf("%s %s: %s, want %s", step.path, step.body, got, step.answer)
		}
		if asked := strings.Join(c.asked, "; "); asked != step.asked {
			t.Errorf("%s %s: asked %q, want %q", step.path, step.body, asked, step.asked)
		}
	}
}

// A joining node shows the seal of the cluster that it has asked, and takes its
// shares; the last of them lets it in, or says that it was wrong.
func TestAJoiningNodeIsOpenedByTheSharesOfItsCluster(t *testing.T) {
	v, c := newVault(t), &three{enter: barrier.ErrWrongKey}
	c.s, v.sys.Cluster = v.sys, c
	v.sys.Seal()
	c.joining = &seal.Config{Type: seal.Shamir, Shares: 5, Threshold: 2}
	is, err := v.sys.Status(t.Context())
	if err != nil || !is.Initialized || !is.Sealed || is.Threshold != 2 || is.Shares != 5 {
		t.Fatalf("it stands as %+v, %v", is, err)
	}
	shares, err := seal.Split(make([]byte, barrier.KeySize), 2, 2, constant{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.sys.Unseal(t.Context(), shares[0]); err != nil || c.asked != nil {
		t.Fatalf("after one share: %v, %v", c.asked, err)
	}
	if why := refused(t, v.sys.Unseal(t.Context(), shares[1])); !strings.Contains(why, "invalid key") || len(c.asked) != 1 {
		t.Errorf("after two: %v, %s", c.asked, why)
	}
}

type constant struct{}

func (constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i + 1)
	}
	return len(p), nil
}
