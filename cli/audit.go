package cli

import "fmt"

func bindAuditEnable(f *flags) action {
	path := f.text("path", "", "`Path` to enable it at; the type's name when not given.")
	description := f.text("description", "", "What it is for.")
	onlyHere := f.toggle("local", false, "Keep it on this cluster only.")
	return func(c *call) error {
		if err := c.want(1, -1); err != nil {
			return err
		}
		options, err := c.payload(1)
		if err != nil {
			return err
		}
		at := asMount(*path)
		if at == "" {
			at = c.mount(0)
		}
		texts := map[string]string{}
		for k, v := range options {
			texts[k] = fmt.Sprint(v)
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		_, err = put(c, cl, "sys/audit/"+at[:len(at)-1], object{
			"type": c.arg(0), "description": orNil(*description), "local": orNil(*onlyHere), "options": texts,
		})
		if err != nil {
			return remote("Error enabling audit device: %w", err)
		}
		c.ui.success("Success! Enabled the %s audit device at: %s", c.arg(0), at)
		return nil
	}
}

func bindAuditDisable(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		at := c.mount(0)
		if at == "" {
			return local("PATH is empty")
		}
		if _, err := cl.Delete(c.ctx, "sys/audit/"+at[:len(at)-1], nil); err != nil {
			return remote("Error disabling audit device: %w", err)
		}
		c.ui.success("Success! Disabled audit device (if it was enabled) at: %s", at)
		return nil
	}
}

func bindAuditList(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		a, err := cl.Read(c.ctx, "sys/audit", nil)
		if err != nil {
			return remote("Error listing audits: %w", err)
		}
		devices := map[string]mountRow{}
		if a != nil && a.Data != nil {
			if err := decodeData(a, &devices); err != nil {
				return err
			}
		}
		switch {
		case !c.ui.isTable():
			return c.ui.structured(dataOf(a))
		case len(devices) == 0:
			// A list without devices is a fact worth an exit code of its own.
			return remote("No audit devices are enabled.")
		}
		rows := [][]string{{"Path", "Type", "Description"}}
		if c.ui.detailed {
			rows[0] = append(rows[0], "Replication", "Options")
		}
		for _, path := range sortedNames(devices) {
			d := devices[path]
			row := []string{path, d.Type, d.Description}
			if c.ui.detailed {
				options := ""
				for _, k := range sortedNames(d.Options) {
					options += k + "=" + d.Options[k] + " "
				}
				row = append(row, d.replication(), options)
			}
			rows = append(rows, row)
		}
		c.ui.table(rows)
		return nil
	}
}
