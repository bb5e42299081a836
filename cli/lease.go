package cli

func bindLeaseLookup(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		a, err := put(c, cl, "sys/leases/lookup", object{"lease_id": c.arg(0)})
		if err != nil {
			return remote("Error looking up lease id %s: %w", c.arg(0), err)
		}
		return c.written(a, "sys/leases/lookup")
	}
}

func bindLeaseRenew(f *flags) action {
	increment := f.duration("increment", "How `long` it should last from now; the server may give less.")
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		a, err := put(c, cl, "sys/leases/renew", object{"lease_id": c.arg(0), "increment": orNil(seconds(*increment))})
		if err != nil {
			return remote("Error renewing %s: %w", c.arg(0), err)
		}
		return c.written(a, "sys/leases/renew")
	}
}

func bindLeaseRevoke(f *flags) action {
	force := f.toggle("force", false, "Forget leases even when their secrets cannot be taken back; needs -prefix.")
	f.set.BoolVar(force, "f", false, "Short for -force.")
	prefix := f.toggle("prefix", false, "Revoke everything under the path.")
	sync := f.toggle("sync", false, "Wait until it is done.")
	return func(c *call) error {
		if err := c.want(1, 1); err != nil {
			return err
		}
		if *force && !*prefix {
			return local("Specifying -force requires also specifying -prefix")
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		id := c.arg(0)
		path, o, done := "sys/leases/revoke", object{"lease_id": id, "sync": *sync}, "Success! Revoked lease: %s"
		switch {
		case *force:
			c.ui.warn("Warning! Force-removing leases can leave credentials behind that nobody tracks.")
			path, o, done = "sys/leases/revoke-force/"+c.path(0), nil, "Success! Force revoked any leases with prefix: %s"
		case *prefix:
			path, o, done = "sys/leases/revoke-prefix/"+c.path(0), object{"sync": *sync}, "Success! Revoked any leases with prefix: %s"
		}
		if _, err := put(c, cl, path, o); err != nil {
			return remote("Error revoking lease %s: %w", id, err)
		}
		if !*sync && !*force {
			c.ui.success("All revocation operations queued successfully!")
			return nil
		}
		c.ui.success(done, id)
		return nil
	}
}
