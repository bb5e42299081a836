package sys

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/archive"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/seal"
)

// Snapshots, as sys/storage/raft/snapshot saves and restores them. What is
// restored is checked to its last byte before anything changes.

// sumsPurpose is what SHA256SUMS is sealed for.
var sumsPurpose = []byte("snapshot sums")

// saveSnapshot answers a snapshot of this moment, as it is read.
func (s *System) saveSnapshot(ctx context.Context, _ *engine.Caller, _ engine.None) (*engine.Answer, error) {
	about, err := s.aboutSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	rows := s.Store.Freeze()
	stream := func(w io.Writer) error {
		defer rows.Close()
		buffered := bufio.NewWriterSize(w, 256<<10)
		if err := archive.Write(buffered, rows, *about, s.sealSums); err != nil {
			s.Logger.Error("save a snapshot", "error", err)
			return err // the client finds it cut off
		}
		return buffered.Flush()
	}
	return &engine.Answer{Raw: &engine.Raw{ContentType: "application/gzip", Stream: stream},
		Header: http.Header{"Content-Disposition": {"attachment"}}}, nil
}

func (s *System) aboutSnapshot(ctx context.Context) (*archive.Meta, error) {
	c, err := s.cluster(ctx)
	if err != nil {
		return nil, err
	}
	about := &archive.Meta{Version: s.Settings.FastnessVersion, Time: s.Now().UTC(), SealType: seal.Shamir}
	if c != nil {
		about.ClusterID, about.ClusterName = c.ID, c.Name
	}
	return about, nil
}

func (s *System) sealSums(sums []byte) ([]byte, error) {
	return s.Barrier.SealWithAD(nil, sumsPurpose, sums)
}

func (s *System) restoreSnapshot(ctx context.Context, _ *engine.Caller, _ engine.None, file engine.Upload) (engine.None, error) {
	return engine.None{}, s.restore(ctx, file, false)
}

func (s *System) forceSnapshot(ctx context.Context, _ *engine.Caller, _ engine.None, file engine.Upload) (engine.None, error) {
	return engine.None{}, s.restore(ctx, file, true)
}

// restore replaces everything by what a snapshot holds. The node goes on
// unsealed when the snapshot is under the same root key; else, with force, it is
// sealed from then on and needs the unseal keys of the snapshot's cluster.
func (s *System) restore(ctx context.Context, file io.Reader, force bool) error {
	ctx = context.WithoutCancel(ctx) // half of it done is no better
	if err := s.aloneInCluster(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	own, err := s.sealRows(ctx)
	if err != nil {
		return err
	}
	st := &staging{system: s, own: own}
	st.unlock = func() (*barrier.Barrier, error) {
		peer, err := s.Barrier.Peer(st.core[rowKeyring])
		switch {
		case errors.Is(err, barrier.ErrWrongKey) && force:
			return nil, nil
		case errors.Is(err, barrier.ErrWrongKey):
			return nil, engine.Bad("the snapshot is of another cluster, or of before the root key was replaced: nothing has changed. To replace this cluster by the snapshot's all the same, force the restore, and have the unseal keys of that time at hand")
		}
		return peer, err
	}
	if err := st.stage(file); err != nil {
		return s.refused(err)
	}
	defer st.remove()
	s.serving.Store(false)
	if st.peer == nil {
		if s.Sealing != nil {
			s.Sealing()
		}
		_, err := s.Store.Replace(ctx, st.name)
		s.lock()
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		s.Logger.Warn("restored a snapshot of another cluster: sealed until its unseal keys are given", "cluster", st.file.ClusterName, "index", st.file.Index)
		return nil
	}
	if s.Restoring != nil {
		s.Restoring()
	}
	_, err = s.Store.Replace(ctx, st.name)
	s.forgetRows()
	if err == nil {
		err = s.Barrier.Restore(st.core[rowKeyring])
	}
	if err == nil {
		err = s.begin(ctx, nil)
	}
	if err != nil {
		s.lock()
		return fmt.Errorf("restore: %w", err)
	}
	s.Logger.Warn("restored a snapshot; leases that run out are kept until sys/leases/release", "index", st.file.Index, "rows", st.file.Rows)
	return nil
}

// aloneInCluster refuses to restore while others follow: what is staged lies on
// this node only, and a follower could not go on without it.
func (s *System) aloneInCluster(ctx context.Context) error {
	if s.Cluster == nil {
		return nil
	}
	members, err := s.Cluster.Members(ctx)
	if err != nil {
		return fmt.Errorf("ask who is in the cluster: %w", err)
	}
	if len(members) > 1 {
		return engine.Bad("a snapshot is restored into a cluster of one node, and this one has %d: remove the others with \"operator raft remove-peer\", restore, and let them join anew", len(members))
	}
	return nil
}

// forgetRows drops what was derived from the rows before.
func (s *System) forgetRows() {
	s.dropCeremonies()
	s.Store.Forget()
	s.Mounts.Drop()
	s.Policies.Drop()
	if s.Limits != nil {
		s.Limits.Drop()
	}
}

// refused makes what is the file's fault the caller's.
func (s *System) refused(err error) error {
	if errors.Is(err, archive.ErrDamaged) || errors.Is(err, archive.ErrNotOurs) {
		return engine.Bad("%s: nothing has changed", err)
	}
	return err
}

// sealRows are the rows by which this cluster's seals open its root key.
func (s *System) sealRows(ctx context.Context) (map[string][]byte, error) {
	rows := map[string][]byte{}
	err := s.Store.View(ctx, func(tx *storage.Tx) error {
		for _, name := range sealRowNames() {
			v, err := tx.In(storage.Core).Get(name)
			if err != nil {
				return err
			}
			if v != nil {
				rows[name] = v
			}
		}
		return nil
	})
	return rows, err
}

func sealRowNames() []string { return []string{rowConfig, rowRoot, rowWraps} }

// adoptSnapshot makes an empty node that of a snapshot. The unseal keys come with
// it, and every row is opened by them before the node is anything.
func (s *System) adoptSnapshot(ctx context.Context, _ *engine.Caller, _ engine.None, file engine.Upload) (engine.None, error) {
	ctx = context.WithoutCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	none := engine.None{}
	if is, err := s.Initialized(ctx); err != nil {
		return none, err
	} else if is {
		return none, engine.Bad("this node is initialised already: restore into it with sys/storage/raft/snapshot")
	}
	var key []byte
	st := &staging{system: s}
	st.unlock = func() (peer *barrier.Barrier, err error) {
		key, peer, err = st.prove(file.Header.Values(UnsealKeyHeader))
		return peer, err
	}
	if err := st.stage(file); err != nil {
		return none, s.refused(err)
	}
	defer st.remove()
	defer clear(key)
	if _, err := s.Store.Replace(ctx, st.name); err != nil {
		return none, fmt.Errorf("restore: %w", err)
	}
	root, envelope, err := s.rootKey(ctx, key)
	if err != nil {
		return none, err
	}
	defer clear(root)
	if err := s.open(ctx, root, func(tx *storage.Tx) error { return s.proveShares(tx, envelope) }); err != nil {
		return none, err
	}
	s.Logger.Warn("restored a snapshot into an empty node; leases that run out are kept until sys/leases/release", "cluster", st.file.ClusterName, "index", st.file.Index)
	return none, nil
}

// UnsealKeyHeader brings one share of the seal key to an empty node, beside
// the snapshot that it opens. It is given once for each share.
const UnsealKeyHeader = "X-Fastness-Unseal-Key"

func snapshotRoutes() engine.Routes[System] {
	const at = "storage/raft/snapshot"
	return engine.Routes[System]{
		engine.Outside(at, engine.OpRead, (*System).saveSnapshot).RootNamespace().Doc("Save a snapshot of everything, sealed."),
		engine.Uploaded(at, engine.OpWrite, (*System).restoreSnapshot).RootNamespace().Doc("Replace everything by a snapshot of this cluster."),
		engine.Uploaded(at+"-force", engine.OpWrite, (*System).forceSnapshot).RootNamespace().Doc("Replace everything by a snapshot, of whichever cluster."),
		engine.Uploaded(at+"-adopt", engine.OpWrite, (*System).adoptSnapshot).Public().WhileSealed().Quiet().RootNamespace().Doc("Make an empty node that of a snapshot, by its unseal keys."),
		engine.Read("leases/frozen", (*System).frozenLeases).Sudo().RootNamespace().Doc("Say what a restored snapshot would revoke."),
		engine.Write("leases/release", (*System).releaseLeases).Sudo().RootNamespace().Doc("Let leases of a restored snapshot end."),
	}
}
