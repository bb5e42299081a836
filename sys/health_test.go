package sys

import (
	"net/url"
	"testing"

	"github.com/fastness-dev/fastness/engine"
)

// standing is a cluster that only says where this node stands.
type standing struct {
	alone
	at Standing
}

func (s *standing) Standing() Standing { return s.at }

// A check of a load balancer, as people have written it for the editions that they
// had, finds the nodes that it is after.
func TestHealthOfANodeAmongOthers(t *testing.T) {
	leader := Standing{Active: true, LeaderAPI: "http://a"}
	follower := Standing{LeaderAPI: "http://a"}
	lost := Standing{}
	removed := Standing{Removed: true}
	v := newVault(t)
	cluster := &standing{alone: alone{v.sys}}
	v.sys.Cluster = cluster
	for _, c := range []struct {
		what  string
		at    Standing
		query string
		want  int
	}{
		{"the leader", leader, "", 200},
		{"the leader, by a code of its own", leader, "activecode=204", 204},
		{"a follower", follower, "", 429},
		{"a follower, where standbys are wanted", follower, "standbyok=true", 200},
		{"a follower, where standbys are wanted, without a value", follower, "standbyok", 200},
		{"a follower, where standbys are not wanted", follower, "standbyok=false", 429},
		{"a follower, by a standby's code", follower, "standbycode=288", 288},
		{"a follower, where performance standbys are wanted", follower, "perfstandbyok=true", 200},
		{"a follower, by a performance standby's code", follower, "performancestandbycode=299&standbycode=288", 299},
		{"a follower that knows of no leader", lost, "", 474},
		{"a follower that knows of no leader, by a code of its own", lost, "haunhealthycode=599&standbyok=true", 599},
		{"a follower that knows of no leader, kept alive", lost, "standbyok=true", 200},
		{"a node that was removed", removed, "", 530},
		{"a node that was removed, by a code of its own", removed, "removedcode=531", 531},
	} {
		cluster.at = c.at
		q, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.health(t, q); got != c.want {
			t.Errorf("%s (%s): %d, want %d", c.what, c.query, got, c.want)
		}
	}
}

func (v *vault) health(t *testing.T, query url.Values) int {
	t.Helper()
	in, err := v.sys.Type().Open(engine.Mount{Path: "sys/"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := in.Find(engine.OpRead, "health")
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Run(&engine.Call{Ctx: t.Context(), By: &engine.Caller{}, Query: query})
	if err != nil {
		t.Fatal(err)
	}
	return a.Status
}
