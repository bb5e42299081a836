package barrier

import (
	"testing"
	"time"
)

func TestRotateConfigSaysWhatIsWrongInVaultsWords(t *testing.T) {
	for _, test := range []struct {
		config RotateConfig
		want   string
	}{
		{DefaultRotateConfig(), ""},
		{RotateConfig{true, 2_000_000_000, 48 * time.Hour}, ""},
		{RotateConfig{true, MinRotateOperations, 24 * time.Hour}, ""},
		{RotateConfig{true, 5, 0}, "max_operations must be in the range [1000000,3865470566]"},
		{RotateConfig{true, MaxRotateOperations + 1, 0}, "max_operations must be in the range [1000000,3865470566]"},
		{RotateConfig{true, MaxRotateOperations, time.Hour}, "interval must be greater or equal to 24h0m0s"},
		{RotateConfig{true, MaxRotateOperations, -time.Hour}, "interval must be greater or equal to 24h0m0s"},
	} {
		got := ""
		if err := test.config.Validate(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%+v: %q, want %q", test.config, got, test.want)
		}
	}
}

// A term counts what all its leaders sealed, as far as they could store it.
func TestEncryptionsAreCounted(t *testing.T) {
	c := newCluster(t)
	b := c.leader()
	count := func(b *Barrier, want, unsaved uint64) {
		t.Helper()
		status, err := b.KeyStatus()
		if err != nil || status.Encryptions != want || b.Unsaved() != unsaved {
			t.Errorf("%d encryptions, %d unsaved, %v; want %d, %d", status.Encryptions, b.Unsaved(), err, want, unsaved)
		}
	}
	count(b, 0, 0)
	c.seal(b, "k", "v")
	c.seal(b, "k", "v")
	b.SealToken(nil, nil)
	count(b, 3, 3)
	c.commit(b.Checkpoint(c.keyring))
	count(b, 3, 0)
	c.seal(b, "k", "v") // lost in the crash that follows
	count(b, 4, 1)

	b = c.leader()
	count(b, 3, 0)
	c.seal(b, "k", "v")
	count(b, 4, 1)

	c.now = c.now.Add(time.Hour)
	c.commit(b.Rotate(c.keyring))
	count(b, 0, 0)
	status, _ := c.node().KeyStatus()
	if status.Term != 2 || !status.InstallTime.Equal(c.now) {
		t.Errorf("term %d since %s", status.Term, status.InstallTime)
	}
	c.now = c.now.Add(time.Hour)
	c.commit(b.NewLeadership(c.keyring))
	if again, _ := b.KeyStatus(); !again.InstallTime.Equal(status.InstallTime) {
		t.Error("a new leadership moved the beginning of the term")
	}
}

func TestRotationIsDueByCountAndAge(t *testing.T) {
	c := newCluster(t)
	b := c.leader()
	due := func(want bool) {
		t.Helper()
		if got := b.RotationDue(c.now); got != want {
			t.Errorf("due = %v, want %v", got, want)
		}
	}
	due(false)
	c.now = c.now.Add(1000 * time.Hour)
	due(false) // without an interval, age does not count
	if _, err := b.SetRotateConfig(c.keyring, RotateConfig{MaxOperations: 5}); err == nil {
		t.Error("a bad configuration was taken")
	}
	c.commit(b.SetRotateConfig(c.keyring, RotateConfig{true, MinRotateOperations, 48 * time.Hour}))
	due(true)
	c.commit(b.Rotate(c.keyring))
	due(false)
	c.now = c.now.Add(48*time.Hour - 1)
	due(false)
	c.now = c.now.Add(1)
	due(true)

	c.commit(b.Rotate(c.keyring))
	b.state.Load().fresh.rows.Add(MinRotateOperations - 1)
	due(false)
	b.SealToken(nil, nil)
	due(true)
	c.commit(b.NewLeadership(c.keyring)) // another key, but the same term
	due(true)
	c.commit(b.SetRotateConfig(c.keyring, RotateConfig{false, MinRotateOperations, 48 * time.Hour}))
	due(false)
	if got, err := c.node().RotateConfig(); err != nil || got != (RotateConfig{false, MinRotateOperations, 48 * time.Hour}) {
		t.Errorf("stored configuration is %+v, %v", got, err)
	}
}
