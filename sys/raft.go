package sys

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage/raft/autopilot"
)

// sys/storage/raft: who is in the cluster, and who comes and goes. On a node
// without a log of its own these paths do not exist.

// members asks the cluster; the error is that of a path that is not there when
// there is none.
func (s *System) members(ctx context.Context) ([]Member, error) {
	if s.Cluster == nil {
		return nil, engine.ErrNoRoute
	}
	return s.Cluster.Members(ctx)
}

// raftProtocol is the version of the protocol between nodes that Vault shows.
const raftProtocol = "3"

type raftServer struct {
	NodeID   string `json:"node_id"`
	Address  string `json:"address"` // host:port of the cluster listener
	Leader   bool   `json:"leader"`
	Protocol string `json:"protocol_version"`
	Voter    bool   `json:"voter"`
}

type raftConfig struct {
	Servers []raftServer `json:"servers"`
	Index   uint64       `json:"index"` // always 0, as Vault has it
}

type raftConfiguration struct {
	Config raftConfig `json:"config"`
}

func (s *System) raftConfiguration(v engine.View, _ engine.None) (*raftConfiguration, error) {
	all, err := s.members(v.Context())
	if err != nil {
		return nil, err
	}
	a := &raftConfiguration{raftConfig{Servers: []raftServer{}}}
	for _, m := range all {
		a.Config.Servers = append(a.Config.Servers, raftServer{m.NodeID, hostPort(m.Cluster), m.Leader, raftProtocol, m.Voter})
	}
	return a, nil
}

// hostPort is a URL without its scheme.
func hostPort(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	return address
}

type serverID struct {
	ServerID string `json:"server_id" doc:"Name of the node (node_id)."`
	DRToken  string `json:"dr_operation_token" doc:"Not used."`
}

// onServer makes a route's function of a change to one node. A node that is not
// there is gone already, and what is gone need not be removed.
func onServer(change func(Cluster, context.Context, string) error) func(*System, context.Context, *engine.Caller, serverID) (engine.None, error) {
	return func(s *System, ctx context.Context, _ *engine.Caller, req serverID) (engine.None, error) {
		switch {
		case s.Cluster == nil:
			return engine.None{}, engine.ErrNoRoute
		case req.ServerID == "":
			return engine.None{}, engine.Bad("no server id provided")
		}
		return engine.None{}, membershipError(change(s.Cluster, ctx, req.ServerID))
	}
}

func membershipError(err error) error {
	for _, known := range []error{ErrLastVoter, ErrNotLearner, ErrNotVoter, ErrUnknownNode} {
		if errors.Is(err, known) {
			return engine.Listed(http.StatusBadRequest, "%s", known)
		}
	}
	return err
}

func removePeer(c Cluster, ctx context.Context, nodeID string) error {
	if err := c.Remove(ctx, nodeID); !errors.Is(err, ErrUnknownNode) {
		return err
	}
	return nil
}

// promote tells of a node that is not there what Vault's kin tells.
func promote(c Cluster, ctx context.Context, nodeID string) error {
	err := c.Promote(ctx, nodeID)
	if errors.Is(err, ErrUnknownNode) {
		return ErrNotLearner
	}
	return err
}

type joinRequest struct {
	Address    string `json:"leader_api_addr" doc:"URL of a node of the cluster to join."`
	CACert     string `json:"leader_ca_cert" doc:"PEM certificates to trust it by."`
	ClientCert string `json:"leader_client_cert" doc:"PEM certificate to show it."`
	ClientKey  string `json:"leader_client_key" doc:"PEM key of that certificate." secret:"true"`
	ServerName string `json:"leader_tls_servername" doc:"Name to expect in its certificate."`
	AutoJoin   string `json:"auto_join" doc:"Not served: name the nodes by their addresses."`
	AutoScheme string `json:"auto_join_scheme" doc:"Not used."`
	AutoPort   uint64 `json:"auto_join_port" doc:"Not used."`
	Retry      bool   `json:"retry" doc:"Go on asking until the cluster answers."`
	NonVoter   bool   `json:"non_voter" doc:"Never vote."`
}

type joined struct {
	Joined bool `json:"joined"`
}

// joinCluster makes this node ask to be let in. One that belongs to a cluster
// already has joined.
func (s *System) joinCluster(ctx context.Context, _ *engine.Caller, req joinRequest) (*joined, error) {
	if s.Cluster == nil {
		return nil, engine.ErrNoRoute
	}
	if is, err := s.Initialized(ctx); err != nil || is {
		return &joined{true}, err
	}
	switch {
	case req.AutoJoin != "":
		return nil, engine.Bad("auto_join is not served: give leader_api_addr, once for each node that may be there")
	case req.Address == "":
		return nil, engine.Bad("failed to join raft cluster: leader_api_addr is required: the URL of a node of the cluster")
	case (req.ClientCert == "") != (req.ClientKey == ""):
		return nil, engine.Bad("leader_client_cert and leader_client_key belong together: give both or none")
	}
	u, err := url.Parse(req.Address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, engine.Bad("leader_api_addr must be a URL such as https://vault.example.com:8200")
	}
	err = s.Cluster.Join(ctx, JoinRequest{Retry: req.Retry, NonVoter: req.NonVoter,
		Leaders: []Leaders{{Address: req.Address, ServerName: req.ServerName, CACert: req.CACert, ClientCert: req.ClientCert, ClientKey: req.ClientKey}}})
	if err != nil {
		return nil, err
	}
	return &joined{true}, nil
}

// bootstrap is how a cluster begins in Vault's kin; here it has begun with init.
func (s *System) bootstrap(engine.View, engine.None) (engine.None, error) {
	if s.Cluster == nil {
		return engine.None{}, engine.ErrNoRoute
	}
	return engine.None{}, engine.Bad("could not bootstrap clustered storage: error bootstrapping cluster: cluster already has state")
}

type challengeAnswer struct {
	Challenge string     `json:"challenge"` // base64
	Seal      sealOfJoin `json:"seal_config"`
	RootKey   string     `json:"root_key"` // base64, wrapped by the seal key
}

type sealOfJoin struct {
	Type      string   `json:"type"`
	Shares    int      `json:"secret_shares"`
	Threshold int      `json:"secret_threshold"`
	PGPKeys   []string `json:"pgp_keys"`
	Nonce     string   `json:"nonce"`
	Backup    bool     `json:"backup"`
}

func (s *System) challenge(v engine.View, req serverID) (*challengeAnswer, error) {
	switch {
	case s.Cluster == nil:
		return nil, engine.ErrNoRoute
	case req.ServerID == "":
		return nil, engine.Bad("no server id provided")
	}
	c, err := s.Cluster.Challenge(v.Context(), req.ServerID)
	if err != nil {
		return nil, err
	}
	return &challengeAnswer{Challenge: base64.StdEncoding.EncodeToString(c.Challenge), RootKey: base64.StdEncoding.EncodeToString(c.RootKey),
		Seal: sealOfJoin{Type: c.Seal.Type, Shares: c.Seal.Shares, Threshold: c.Seal.Threshold}}, nil
}

type proofRequest struct {
	ServerID  string `json:"server_id" doc:"Name of the node that joins (node_id)."`
	Challenge string `json:"challenge" doc:"What bootstrap/challenge gave, in base64."`
	Answer    string `json:"answer" doc:"The proof over it, in base64."`
	Cluster   string `json:"cluster_addr" doc:"Address of its cluster listener, host:port."`
	API       string `json:"api_addr" doc:"URL of its API."`
	Host      string `json:"hostname" doc:"Name of its machine."`
	Version   string `json:"sdk_version" doc:"Its version."`
	PublicKey string `json:"public_key" doc:"Its public key, in base64."`
	NonVoter  bool   `json:"non_voter" doc:"Never vote."`
	DRToken   string `json:"dr_operation_token" doc:"Not used."`
}

type admission struct {
	Reply string `json:"reply"` // base64
	Seal  string `json:"seal"`  // base64
}

func (s *System) answerChallenge(ctx context.Context, _ *engine.Caller, req proofRequest) (*admission, error) {
	switch {
	case s.Cluster == nil:
		return nil, engine.ErrNoRoute
	case req.ServerID == "":
		return nil, engine.Bad("no server_id provided")
	case req.Answer == "":
		return nil, engine.Bad("no answer provided")
	case req.Cluster == "":
		return nil, engine.Bad("no cluster_addr provided")
	}
	p := Proof{NodeID: req.ServerID, Cluster: req.Cluster, API: req.API, Host: req.Host, Version: req.Version, NonVoter: req.NonVoter}
	for _, f := range []struct {
		name, text string
		to         *[]byte
	}{{"challenge", req.Challenge, &p.Challenge}, {"answer", req.Answer, &p.Answer}, {"public_key", req.PublicKey, &p.PublicKey}} {
		b, err := base64.StdEncoding.DecodeString(f.text)
		if err != nil {
			return nil, engine.Bad("could not base64 decode %s", f.name)
		}
		*f.to = b
	}
	a, err := s.Cluster.Admit(ctx, p)
	if errors.Is(err, ErrChallenge) {
		return nil, engine.Bad("%s", ErrChallenge)
	}
	if err != nil {
		return nil, err
	}
	return &admission{base64.StdEncoding.EncodeToString(a.Reply), base64.StdEncoding.EncodeToString(a.Seal)}, nil
}

// stepDown hands leadership over, where there is somebody to take it.
func (s *System) stepDown(ctx context.Context, _ *engine.Caller, _ engine.None) (engine.None, error) {
	if s.Cluster == nil {
		return engine.None{}, nil
	}
	return engine.None{}, s.Cluster.StepDown(ctx)
}

type haNode struct {
	Hostname       string     `json:"hostname"`
	APIAddress     string     `json:"api_address"`
	ClusterAddress string     `json:"cluster_address"`
	Active         bool       `json:"active_node"`
	LastEcho       *time.Time `json:"last_echo"`
	Version        string     `json:"version"`
	UpgradeVersion string     `json:"upgrade_version,omitempty"` // of nodes with raft
}

type haStatus struct {
	Nodes []haNode `json:"nodes"`
}

func (s *System) haStatus(v engine.View, _ engine.None) (*haStatus, error) {
	if s.Cluster == nil {
		return &haStatus{[]haNode{{Hostname: hostname(), APIAddress: s.Settings.APIAddr, ClusterAddress: s.Settings.ClusterAddr,
			Active: true, Version: s.Settings.Version}}}, nil
	}
	all, err := s.members(v.Context())
	if err != nil {
		return nil, err
	}
	a := &haStatus{Nodes: []haNode{}}
	for _, m := range all {
		n := haNode{Hostname: m.Host, APIAddress: m.API, ClusterAddress: m.Cluster, Active: m.Leader, Version: m.Version, UpgradeVersion: m.Version}
		if !m.Leader && !m.Heard.IsZero() {
			heard := m.Heard.UTC()
			n.LastEcho = &heard
		}
		a.Nodes = append(a.Nodes, n)
	}
	return a, nil
}

type autopilotServer struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Address     string    `json:"address"`
	NodeStatus  string    `json:"node_status"`
	LastContact string    `json:"last_contact"`
	LastTerm    uint64    `json:"last_term"`
	LastIndex   uint64    `json:"last_index"`
	Healthy     bool      `json:"healthy"`
	StableSince time.Time `json:"stable_since"`
	Status      string    `json:"status"`
	Version     string    `json:"version"`
	NodeType    string    `json:"node_type"`
}

type autopilotState struct {
	Tolerance int                        `json:"failure_tolerance"`
	Healthy   bool                       `json:"healthy"`
	Leader    string                     `json:"leader"`
	Servers   map[string]autopilotServer `json:"servers"`
	Voters    []string                   `json:"voters"`
	NonVoters []string                   `json:"non_voters,omitempty"`
}

func (s *System) autopilotState(v engine.View, _ engine.None) (*autopilotState, error) {
	all, err := s.members(v.Context())
	if err != nil {
		return nil, err
	}
	config, err := AutopilotConfig(engine.CallOf(v).Whole)
	if err != nil {
		return nil, err
	}
	st, err := s.Cluster.Autopilot(v.Context())
	if err != nil {
		return nil, err
	}
	a := &autopilotState{Tolerance: st.Tolerance, Healthy: st.Healthy, Leader: st.Leader, Servers: map[string]autopilotServer{},
		Voters: append([]string{}, st.Voters...), NonVoters: st.Learners}
	for _, m := range all {
		a.Servers[m.NodeID] = showServer(m, st.Servers[m.NodeID], config)
	}
	return a, nil
}

func showServer(m Member, h autopilot.Health, c autopilot.Config) autopilotServer {
	a := autopilotServer{ID: m.NodeID, Name: m.NodeID, Address: hostPort(m.Cluster), NodeStatus: "alive", LastContact: h.Silence.String(),
		LastTerm: m.Term, LastIndex: m.Match, Healthy: h.Healthy, StableSince: h.Since.UTC(), Version: m.Version, NodeType: "voter", Status: "voter"}
	switch {
	case m.Leader:
		a.Status = "leader"
	case !m.Voter:
		a.Status = "non-voter"
	}
	if m.Stays {
		a.NodeType = "non-voter"
	}
	if !m.Leader && h.Silence > cmp.Or(c.LastContactThreshold, autopilot.Default().LastContactThreshold) {
		a.NodeStatus = "failed"
	}
	return a
}

func raftRoutes() engine.Routes[System] {
	const at = "storage/raft/"
	return engine.Routes[System]{
		engine.Read(at+"configuration", (*System).raftConfiguration).RootNamespace().Doc("List the nodes of the log."),
		engine.Outside(at+"remove-peer", engine.OpWrite, onServer(removePeer)).RootNamespace().Doc("Take a node out of the cluster."),
		engine.Outside(at+"promote", engine.OpWrite, onServer(promote)).RootNamespace().Doc("Let a node vote."),
		engine.Outside(at+"demote", engine.OpWrite, onServer(Cluster.Demote)).RootNamespace().Doc("Let a node vote no more."),
		engine.Outside(at+"join", engine.OpWrite, (*System).joinCluster).OnThisNode().Public().Bare().Quiet().WhileSealed().RootNamespace().Doc("Make this node join a cluster."),
		engine.Compute(at+"bootstrap", (*System).bootstrap).RootNamespace().Doc("Not needed: init begins a cluster."),
		engine.Compute(at+"bootstrap/challenge", (*System).challenge).OnActive().Public().RootNamespace().Doc("Give a joining node what it has to answer."),
		engine.Outside(at+"bootstrap/answer", engine.OpWrite, (*System).answerChallenge).Public().RootNamespace().Doc("Let a node join that has answered."),
		engine.Read(at+"autopilot/state", (*System).autopilotState).OnActive().RootNamespace().Doc("Say how the nodes do."),
		engine.Read(at+"autopilot/configuration", (*System).readAutopilot).RootNamespace().Doc("Show when a node counts as healthy, and when as gone."),
		engine.Write(at+"autopilot/configuration", (*System).writeAutopilot).RootNamespace().Doc("Say when a node counts as healthy, and when as gone."),
	}
}
