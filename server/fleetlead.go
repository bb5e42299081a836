package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fastness-dev/fastness/cluster"
	"github.com/fastness-dev/fastness/storage"
)

// watch does what an unsealed node does of itself, while it leads, until ctx
// ends. On a node that is alone that is always.
func (s *Server) watch(ctx context.Context, work func(context.Context)) {
	f := s.fleet
	if f == nil {
		work(ctx)
		return
	}
	for ctx.Err() == nil {
		news := f.log.Changed()
		term := f.log.Leads()
		if term == 0 {
			s.followAudit(ctx, news)
			continue
		}
		if err := s.beginTerm(ctx, term); err != nil {
			if ctx.Err() == nil && !errors.Is(err, storage.ErrNotLeader) {
				s.logger.Error("take up the leadership", "error", err)
			}
			select {
			case <-news:
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		run, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() { work(run); close(done) }()
		for f.log.Leads() == term && ctx.Err() == nil {
			select {
			case <-news:
			case <-ctx.Done():
			}
			news = f.log.Changed()
		}
		stop()
		<-done
		f.pilot.Store(nil)
		if ctx.Err() == nil {
			s.logger.Info("another node leads, or none: writes go there")
		}
	}
}

// beginTerm gives this node what it needs to lead in a term: a key to write with, a
// place among the nodes, and a certificate.
func (s *Server) beginTerm(ctx context.Context, term uint64) error {
	f := s.fleet
	if f.led.Load() != term {
		if err := s.sys.Lead(ctx); err != nil {
			return err
		}
		now := f.clock()
		f.since.Store(&now)
		f.led.Store(term)
		s.logger.Info("this node leads", "term", term)
	}
	if err := f.certify(ctx); err != nil {
		return fmt.Errorf("renew this node's certificate: %w", err)
	}
	me := f.me
	me.ID = f.log.ID()
	return f.edit(ctx, func(all map[uint64]fleetNode) { all[me.ID] = me })
}

// followAudit keeps the audit devices of a node that follows those of the cluster.
func (s *Server) followAudit(ctx context.Context, news <-chan struct{}) {
	for loaded := s.store.LastChange(storage.Audits); ; {
		changed := s.store.Changed()
		if f := s.fleet; f.clock().After(f.identityRenewal()) {
			if err := f.certify(ctx); err != nil && ctx.Err() == nil {
				s.logger.Error("renew this node's certificate", "error", err)
			}
		}
		if now := s.store.LastChange(storage.Audits); now != loaded {
			loaded = now
			if err := s.sys.LoadAudit(ctx); err != nil && ctx.Err() == nil {
				s.logger.Error("take over the audit devices of the cluster", "error", err)
			}
		}
		select {
		case <-news:
			return
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// authority is the cluster's own; it is made when there is none.
func (f *Fleet) authority(ctx context.Context) (*cluster.Authority, error) {
	var a *cluster.Authority
	err := f.server.store.View(ctx, func(tx *storage.Tx) error {
		row, err := storage.In[authorityRow](tx.In(storage.System), "").Get(rowAuthority)
		if err == nil && row != nil {
			a, err = cluster.DecodeAuthority(row.Certificate, row.Key)
		}
		return err
	})
	if err != nil || a != nil {
		return a, err
	}
	_, err = f.server.store.Update(ctx, func(tx *storage.Tx) error {
		table := storage.In[authorityRow](tx.In(storage.System), "")
		row, err := table.Get(rowAuthority)
		if err != nil {
			return err
		}
		if row != nil {
			a, err = cluster.DecodeAuthority(row.Certificate, row.Key)
			return err
		}
		if a, err = cluster.NewAuthority(f.clock()); err != nil {
			return err
		}
		key, err := a.EncodeKey()
		if err != nil {
			return err
		}
		table.Put(rowAuthority, &authorityRow{a.EncodeCertificate(), key})
		b, err := json.Marshal([][]byte{a.Certificate()})
		tx.In(storage.Core).Put(rowAuthorities, b)
		return err
	})
	return a, err
}

// certify gives this node a certificate, if it has none or that is to be renewed.
func (f *Fleet) certify(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, err := f.authority(ctx)
	if err != nil {
		return err
	}
	if f.identity != nil && f.identity.ID() == f.log.ID() && f.clock().Before(f.identity.Renewal()) {
		return nil
	}
	i, err := cluster.NewIdentity()
	if err != nil {
		return err
	}
	leaf, err := a.Issue(i.PublicKey(), f.me.NodeID, f.log.ID(), f.clock())
	if err != nil {
		return err
	}
	return f.adopt(i, leaf, [][]byte{a.Certificate()})
}

// adopt takes a certificate into use, for now and for the next start.
func (f *Fleet) adopt(i *cluster.Identity, leaf []byte, trusted [][]byte) error {
	i, err := i.With(leaf, trusted)
	if err != nil {
		return err
	}
	if err := i.Save(f.dir); err != nil {
		return err
	}
	f.identity = i
	f.net.Use(i)
	return nil
}

// pilotEvery is how often the leader looks after the members.
const pilotEvery = 500 * time.Millisecond

// pilotLoop looks after the members, and this node's certificate.
func (f *Fleet) pilotLoop(ctx context.Context) {
	if f == nil {
		return
	}
	t := time.NewTicker(pilotEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := f.pilotOnce(ctx)
		if err == nil && f.clock().After(f.identityRenewal()) {
			err = f.certify(ctx)
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, storage.ErrNotLeader) {
			f.logger.Warn("look after the nodes of the cluster", "error", err)
		}
	}
}

func (f *Fleet) identityRenewal() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.identity == nil {
		return f.clock().Add(time.Hour) // it gets one when it leads or joins
	}
	return f.identity.Renewal()
}
