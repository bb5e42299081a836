package sys

import (
	"context"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage/seal"
)

// There is one set of shares. Where a seal opens by itself they are recovery
// keys, and are replaced at rekey-recovery-key/; else at rekey/. Vault has two
// sets, so that clients know both routes: the one that does not fit says which
// does.

func (s *System) rekeyTarget(ctx context.Context, recovery bool) error {
	config, err := s.sealConfig(ctx)
	if err != nil || config == nil {
		return err // what is not initialised is told by the route itself
	}
	switch auto := config.Type != seal.Shamir; {
	case recovery && !auto:
		return engine.Bad("recovery rekeying not supported: this cluster is sealed by key shares; replace them at sys/rekey/init")
	case auto && !recovery:
		return engine.Bad("the seal is %q, whose key shares are recovery keys: replace them at sys/rekey-recovery-key/init (\"operator rekey -target=recovery\")", config.Type)
	}
	return nil
}

// forTarget is f where the shares are of that kind.
func forTarget[In, Out any](recovery bool, f func(*System, context.Context, *engine.Caller, In) (Out, error)) func(*System, context.Context, *engine.Caller, In) (Out, error) {
	return func(s *System, ctx context.Context, by *engine.Caller, in In) (out Out, err error) {
		if err := s.rekeyTarget(ctx, recovery); err != nil {
			return out, err
		}
		return f(s, ctx, by, in)
	}
}

func readTarget[Out any](recovery bool, f func(*System, engine.View, engine.None) (Out, error)) func(*System, engine.View, engine.None) (Out, error) {
	return func(s *System, v engine.View, in engine.None) (out Out, err error) {
		if err := s.rekeyTarget(v.Context(), recovery); err != nil {
			return out, err
		}
		return f(s, v, in)
	}
}

func rekeyRoutes() engine.Routes[System] {
	routes := append(rekeyRoutesOf("rekey", "the seal key", false), rekeyRoutesOf("rekey-recovery-key", "the recovery keys", true)...)
	for _, backup := range []string{"rekey/backup", "rekey/recovery-key-backup"} {
		routes = append(routes,
			engine.Read(backup, (*System).readBackup).Sudo().TopLevel().RootNamespace().Doc("Show the encrypted shares that were kept."),
			engine.Delete(backup, (*System).deleteBackup).Sudo().RootNamespace().Doc("Delete the encrypted shares that were kept."))
	}
	return routes
}

func rekeyRoutesOf(base, of string, recovery bool) engine.Routes[System] {
	return engine.Routes[System]{
		engine.Read(base+"/init", readTarget(recovery, (*System).readRekey)).Bare().RootNamespace().Doc("Say how the rekey stands."),
		engine.Outside(base+"/init", engine.OpWrite, forTarget(recovery, (*System).startRekey)).Bare().RootNamespace().Doc("Start to replace the shares of " + of + "."),
		engine.Outside(base+"/init", engine.OpDelete, forTarget(recovery, (*System).cancelRekey)).Bare().RootNamespace().Doc("Give the rekey up."),
		engine.Outside(base+"/update", engine.OpWrite, forTarget(recovery, (*System).updateRekey)).Bare().RootNamespace().Doc("Give one of the old shares."),
		engine.Read(base+"/verify", readTarget(recovery, (*System).readVerify)).Bare().RootNamespace().Doc("Say how the verification of new shares stands."),
		engine.Outside(base+"/verify", engine.OpWrite, forTarget(recovery, (*System).updateVerify)).Bare().RootNamespace().Doc("Give one of the new shares."),
		engine.Outside(base+"/verify", engine.OpDelete, forTarget(recovery, (*System).restartVerify)).Bare().RootNamespace().Doc("Begin the verification anew."),
	}
}
