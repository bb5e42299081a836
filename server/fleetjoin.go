package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/cluster"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/raft"
	"github.com/fastness-dev/fastness/storage/seal"
	"github.com/fastness-dev/fastness/sys"
)

// joining is a cluster that this node has asked to be let in.
type joining struct {
	leader   sys.Leaders
	seal     *seal.Config
	rootKey  []byte // wrapped
	nonVoter bool
}

// A welcome is what a node gets that was let in: see [sys.Admission].
type welcome struct {
	Log         string      `json:"log"` // its id
	ID          uint64      `json:"id"`  // the new node's
	Certificate []byte      `json:"certificate"`
	Trusted     [][]byte    `json:"trusted"`
	Nodes       []fleetNode `json:"nodes"`
}

// Joining is the seal of the cluster that this node has asked to join.
func (f *Fleet) Joining() *seal.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.joining == nil {
		return nil
	}
	return f.joining.seal
}

// joinPause is the time between two tries to join.
const joinPause = 2 * time.Second

// Join asks a cluster how to be let in.
func (f *Fleet) Join(ctx context.Context, q sys.JoinRequest) error {
	for {
		var failed []error
		for _, l := range q.Leaders {
			c, err := f.challenge(ctx, l)
			if err == nil {
				f.mu.Lock()
				f.joining = &joining{l, c.Seal, c.RootKey, q.NonVoter || f.me.NonVoter}
				f.mu.Unlock()
				f.logger.Info(fmt.Sprintf("asked to join the cluster of %s: give this node %d unseal keys", l.Address, c.Seal.Threshold))
				return nil
			}
			failed = append(failed, fmt.Errorf("%s: %w", l.Address, err))
		}
		err := errors.Join(failed...)
		if !q.Retry {
			return engine.Status(http.StatusInternalServerError, "failed to join raft cluster: %s", err)
		}
		f.logger.Warn("join the cluster; it is tried again", "error", err)
		select {
		case <-ctx.Done():
			return engine.Status(http.StatusInternalServerError, "failed to join raft cluster: %s", err)
		case <-time.After(joinPause):
		}
	}
}

// challenge asks a node of the cluster for a challenge, and how its seal is opened.
func (f *Fleet) challenge(ctx context.Context, l sys.Leaders) (*sys.Challenge, error) {
	var a struct {
		Data struct {
			Challenge string `json:"challenge"`
			RootKey   string `json:"root_key"`
			Seal      struct {
				Type      string `json:"type"`
				Shares    int    `json:"secret_shares"`
				Threshold int    `json:"secret_threshold"`
			} `json:"seal_config"`
		} `json:"data"`
	}
	if err := f.askAPI(ctx, l, "sys/storage/raft/bootstrap/challenge", map[string]any{"server_id": f.me.NodeID}, &a); err != nil {
		return nil, err
	}
	c := &sys.Challenge{Seal: &seal.Config{Type: a.Data.Seal.Type, Shares: a.Data.Seal.Shares, Threshold: a.Data.Seal.Threshold}}
	var err error
	if c.Challenge, err = base64.StdEncoding.DecodeString(a.Data.Challenge); err != nil {
		return nil, fmt.Errorf("its challenge cannot be read: %w", err)
	}
	if c.RootKey, err = base64.StdEncoding.DecodeString(a.Data.RootKey); err != nil {
		return nil, fmt.Errorf("its root key cannot be read: %w", err)
	}
	return c, nil
}

// askAPI asks the API of another node.
func (f *Fleet) askAPI(ctx context.Context, l sys.Leaders, path string, q, a any) error {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: l.ServerName}
	if l.CACert != "" {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM([]byte(l.CACert)) {
			return errors.New("leader_ca_cert holds no certificate in PEM")
		}
	}
	if l.ClientCert != "" {
		pair, err := tls.X509KeyPair([]byte(l.ClientCert), []byte(l.ClientKey))
		if err != nil {
			return fmt.Errorf("leader_client_cert and leader_client_key: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: conf, Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(l.Address, "/")+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var told struct {
			Errors []string `json:"errors"`
		}
		_ = json.Unmarshal(b, &told) // what is no answer of ours has only its status
		return fmt.Errorf("it answered %s: %s", resp.Status, strings.Join(told.Errors, "; "))
	}
	return json.Unmarshal(b, a)
}

// Enter proves that this node holds the root key, becomes a member and waits for
// the rows.
func (f *Fleet) Enter(ctx context.Context, sealKey []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := f.joining
	if j == nil {
		return errors.New("this node has not asked to join a cluster")
	}
	root, err := barrier.UnwrapRoot(sealKey, j.rootKey)
	if err != nil {
		return err
	}
	defer clear(root)
	w, i, err := f.admitted(ctx, j, root)
	if err != nil {
		return err
	}
	nodes, err := json.Marshal(w.Nodes)
	if err != nil {
		return err
	}
	if err := f.log.Adopt(ctx, raft.Adoption{Log: w.Log, ID: w.ID}); err != nil {
		return err
	}
	f.take(nodes)
	if err := f.adopt(i, w.Certificate, w.Trusted); err != nil {
		return err
	}
	f.joining = nil
	for {
		changed := f.server.store.Changed()
		has := false
		err := f.server.store.View(ctx, func(tx *storage.Tx) error {
			b, err := tx.In(storage.Core).Get(rowNodes)
			has = b != nil
			return err
		})
		if err != nil || has {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the rows of the cluster: %w", ctx.Err())
		}
	}
}

// admitted asks to be let in, and checks that who lets it in holds the root key.
func (f *Fleet) admitted(ctx context.Context, j *joining, root []byte) (w welcome, i *cluster.Identity, err error) {
	c, err := f.challenge(ctx, j.leader)
	if err != nil {
		return w, nil, err
	}
	if i, err = cluster.NewIdentity(); err != nil {
		return w, nil, err
	}
	claim := cluster.Claim{NodeID: f.me.NodeID, Address: f.me.Cluster, PublicKey: i.PublicKey()}
	answer, err := cluster.Answer(root, c.Challenge, claim)
	if err != nil {
		return w, nil, err
	}
	var a struct {
		Data struct{ Reply, Seal string } `json:"data"`
	}
	text := base64.StdEncoding.EncodeToString
	err = f.askAPI(ctx, j.leader, "sys/storage/raft/bootstrap/answer", map[string]any{"server_id": f.me.NodeID, "challenge": text(c.Challenge),
		"answer": text(answer), "cluster_addr": f.me.Cluster, "api_addr": f.me.API, "hostname": f.me.Host, "sdk_version": f.me.Version,
		"public_key": text(i.PublicKey()), "non_voter": j.nonVoter}, &a)
	if err != nil {
		return w, nil, err
	}
	reply, err := base64.StdEncoding.DecodeString(a.Data.Reply)
	if err != nil {
		return w, nil, fmt.Errorf("its reply cannot be read: %w", err)
	}
	proof, err := base64.StdEncoding.DecodeString(a.Data.Seal)
	if err != nil {
		return w, nil, fmt.Errorf("its reply cannot be read: %w", err)
	}
	if err := cluster.CheckReply(root, c.Challenge, claim, reply, proof); err != nil {
		return w, nil, err
	}
	return w, i, json.Unmarshal(reply, &w)
}

// Challenge gives a number to who wants to join.
func (f *Fleet) Challenge(ctx context.Context, _ string) (*sys.Challenge, error) {
	number, err := f.prover.Challenge()
	if err != nil {
		return nil, err
	}
	conf, wrapped, err := f.server.sys.SealOfJoin(ctx)
	if err != nil {
		return nil, err
	}
	return &sys.Challenge{Challenge: number, RootKey: wrapped, Seal: conf}, nil
}

// silence is for how long a node is not heard of before another may take its name.
const silence = 10 * time.Second

// Admit lets in who has answered.
func (f *Fleet) Admit(ctx context.Context, p sys.Proof) (*sys.Admission, error) {
	claim := cluster.Claim{NodeID: p.NodeID, Address: p.Cluster, PublicKey: p.PublicKey}
	var a *sys.Admission
	err := f.server.barrier.UseRoot(func(root []byte) (err error) {
		a, err = f.admit(ctx, root, p, claim)
		return err
	})
	return a, err
}

func (f *Fleet) admit(ctx context.Context, root []byte, p sys.Proof, claim cluster.Claim) (*sys.Admission, error) {
	if err := f.prover.Check(root, p.Challenge, claim, p.Answer); err != nil {
		return nil, fmt.Errorf("%w: %w", sys.ErrChallenge, err)
	}
	old, peer, err := f.byName(p.NodeID)
	known := err == nil
	if known && (old.ID == f.log.ID() || f.clock().Sub(peer.Heard) < silence) {
		return nil, engine.Bad("a node with the node_id %q is in the cluster and alive: give this one another, or stop that one first", p.NodeID)
	}
	if known {
		if err := f.Remove(ctx, p.NodeID); err != nil {
			return nil, err
		}
	}
	n := fleetNode{ID: raft.NewID(), NodeID: p.NodeID, Cluster: p.Cluster, API: p.API, Host: p.Host, Version: p.Version, NonVoter: p.NonVoter}
	a, err := f.authority(ctx)
	if err != nil {
		return nil, err
	}
	w := welcome{Log: f.log.LogID(), ID: n.ID, Trusted: [][]byte{a.Certificate()}}
	if w.Certificate, err = a.Issue(p.PublicKey, n.NodeID, n.ID, f.clock()); err != nil {
		return nil, engine.Bad("public_key: %s", err)
	}
	err = f.edit(ctx, func(all map[uint64]fleetNode) {
		all[n.ID] = n
		w.Nodes = w.Nodes[:0]
		for _, m := range all {
			w.Nodes = append(w.Nodes, m)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := f.log.Add(ctx, n.ID, raft.Learner); err != nil {
		return nil, err
	}
	f.logger.Info("a node joined", "node", n.NodeID, "address", n.Cluster)
	reply, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	proof, err := cluster.SealReply(root, p.Challenge, claim, reply)
	return &sys.Admission{Reply: reply, Seal: proof}, err
}
