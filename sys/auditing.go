package sys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/audit"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// Rows of storage.Audits.
const (
	rowDevices = "devices"
	rowHeaders = "headers"
)

// auditDevices are the enabled devices by path, with their salts.
type auditDevices map[string]auditDevice

// auditHeaders are the recorded headers: lower-case name to its rule.
type auditHeaders map[string]auditHeader

type auditHeader struct {
	HMAC bool `json:"hmac"`
}

func (h auditHeaders) rules() map[string]bool {
	rules := make(map[string]bool, len(h))
	for name, rule := range h {
		rules[name] = rule.HMAC
	}
	return rules
}

// stored reads a map that is one row of storage.Audits.
func stored[M ~map[string]V, V any](tx *storage.Tx, row string) (M, error) {
	m, err := storage.In[M](tx.In(storage.Audits), "").Get(row)
	if err != nil || m == nil {
		return M{}, err
	}
	return *m, nil
}

// LoadAudit enables what was enabled before the node was sealed, working or
// not: a request is refused while no device takes it. An unseal calls it, and
// holds s.mu.
func (s *System) LoadAudit(ctx context.Context) error {
	var devices auditDevices
	var headers auditHeaders
	err := s.Store.View(ctx, func(tx *storage.Tx) (err error) {
		if devices, err = stored[auditDevices](tx, rowDevices); err != nil {
			return err
		}
		headers, err = stored[auditHeaders](tx, rowHeaders)
		return err
	})
	if err != nil {
		return fmt.Errorf("read audit devices: %w", err)
	}
	s.dropCeremonies()
	if err := s.Audit.Close(); err != nil {
		s.Logger.Error("close audit devices", "error", err)
	}
	s.Audit.Open()
	s.Audit.SetHeaders(headers.rules())
	var failed []error
	for _, path := range slices.Sorted(maps.Keys(devices)) {
		if err := s.attachDevice(devices[path]); err != nil {
			s.Logger.Error("audit device stays off", "path", path, "error", err)
			failed = append(failed, fmt.Errorf("audit device %s: %w", path, err))
		}
	}
	if len(devices) > 0 && len(failed) == len(devices) {
		return errors.Join(failed...)
	}
	return nil
}

func (s *System) openDevice(c auditDevice) error {
	d, err := s.newDevice(c)
	if err != nil {
		return err
	}
	return s.Audit.Enable(c.Path, d)
}

func (s *System) newDevice(c auditDevice) (audit.Device, error) {
	return audit.NewDevice(audit.Config{Path: c.Path, Type: c.Type, Description: c.Description, Options: c.Options,
		Local: c.Local, Salt: c.Salt, Logger: s.Logger})
}

// attachDevice adds a device that was enabled before: it counts even while it
// fails, since a device does not vanish by breaking.
func (s *System) attachDevice(c auditDevice) error {
	d, err := s.newDevice(c)
	if err != nil {
		return err
	}
	return s.Audit.Attach(c.Path, d)
}

// An auditDevice is a device as it is stored.
type auditDevice struct {
	Path        string            `json:"path"`
	Type        string            `json:"type"`
	Description string            `json:"description"`
	Options     map[string]string `json:"options"`
	Local       bool              `json:"local"`
	Salt        []byte            `json:"salt"` // 32 random bytes: the key of the device's HMACs
}

type auditShown struct {
	Path        string            `json:"path"`
	Type        string            `json:"type"`
	Description string            `json:"description"`
	Options     map[string]string `json:"options"`
	Local       bool              `json:"local"`
}

func (s *System) listAudit(v engine.View, _ engine.None) (map[string]auditShown, error) {
	devices, err := stored[auditDevices](engine.CallOf(v).Whole, rowDevices)
	shown := make(map[string]auditShown, len(devices))
	for path, c := range devices {
		shown[path] = auditShown{c.Path, c.Type, c.Description, c.Options, c.Local}
	}
	return shown, err
}

type auditRequest struct {
	Path        string            `path:"path"`
	Type        string            `json:"type" doc:"Kind of the device: file, socket or syslog."`
	Description string            `json:"description" doc:"What the device is for."`
	Options     map[string]string `json:"options" doc:"Options of the kind."`
	Local       bool              `json:"local" doc:"Not replicated."`
}

func (s *System) enableAudit(ctx context.Context, _ *engine.Caller, req auditRequest) (engine.None, error) {
	none := engine.None{}
	if req.Type == "" {
		return none, engine.Bad("missing type")
	}
	if req.Options["prefix"] != "" && !s.Settings.AuditPrefixes {
		return none, engine.Bad("the option prefix is not allowed: set allow_audit_log_prefixing in the server's configuration")
	}
	c := auditDevice{Path: audit.Canonical(req.Path), Type: req.Type, Description: req.Description,
		Options: req.Options, Local: req.Local, Salt: make([]byte, 32)}
	if _, err := rand.Read(c.Salt); err != nil {
		return none, fmt.Errorf("draw salt: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.openDevice(c); err != nil {
		return none, engine.Bad("%s", err)
	}
	err := s.updateDevices(ctx, func(all auditDevices) error {
		for path := range all {
			if strings.HasPrefix(path, c.Path) || strings.HasPrefix(c.Path, path) {
				return engine.Bad("%s", audit.ErrPathInUse)
			}
		}
		all[c.Path] = c
		return nil
	})
	if err != nil {
		return none, errors.Join(err, s.Audit.Disable(c.Path))
	}
	s.Logger.Info("audit device enabled", "path", c.Path, "type", c.Type)
	return none, nil
}

func (s *System) disableAudit(ctx context.Context, _ *engine.Caller, req auditPath) (engine.None, error) {
	none := engine.None{}
	path := audit.Canonical(req.Path)
	s.mu.Lock()
	defer s.mu.Unlock()
	found := false
	err := s.updateDevices(ctx, func(all auditDevices) error {
		_, found = all[path]
		delete(all, path)
		return nil
	})
	if err != nil || !found {
		return none, err
	}
	var unknown audit.UnknownDevice
	if err := s.Audit.Disable(path); err != nil && !errors.As(err, &unknown) {
		return none, fmt.Errorf("disable audit device: %w", err)
	}
	s.Logger.Info("audit device disabled", "path", path)
	return none, nil
}

func (s *System) updateDevices(ctx context.Context, edit func(auditDevices) error) error {
	_, err := s.Store.Update(ctx, func(tx *storage.Tx) error {
		all, err := stored[auditDevices](tx, rowDevices)
		if err != nil {
			return err
		}
		if err := edit(all); err != nil {
			return err
		}
		storage.In[auditDevices](tx.In(storage.Audits), "").Put(rowDevices, &all)
		return nil
	})
	return err
}

type auditPath struct {
	Path string `path:"path"`
}

type auditHashRequest struct {
	Path  string `path:"path"`
	Input string `json:"input" secret:"true" doc:"The text to hash."`
}

type auditHash struct {
	Hash string `json:"hash"`
}

func (s *System) auditHash(_ engine.View, req auditHashRequest) (*auditHash, error) {
	if req.Input == "" {
		return nil, engine.Bad("the \"input\" parameter is empty")
	}
	hash, err := s.Audit.Hash(audit.Canonical(req.Path), req.Input)
	if err != nil {
		return nil, engine.Bad("%s", err)
	}
	return &auditHash{hash}, nil
}

type headerRequest struct {
	Header string `path:"header"`
	HMAC   bool   `json:"hmac" doc:"Whether the header's value is hashed."`
}

type headerName struct {
	Header string `path:"header"`
}

type headersAnswer struct {
	Headers auditHeaders `json:"headers"`
}

func (s *System) listHeaders(v engine.View, _ engine.None) (*headersAnswer, error) {
	headers, err := stored[auditHeaders](engine.CallOf(v).Whole, rowHeaders)
	return &headersAnswer{headers}, err
}

func (s *System) readHeader(v engine.View, req headerName) (auditHeaders, error) {
	headers, err := stored[auditHeaders](engine.CallOf(v).Whole, rowHeaders)
	if err != nil {
		return nil, err
	}
	rule, found := headers[strings.ToLower(req.Header)]
	if !found {
		return nil, engine.Bad("Could not find header in config")
	}
	return auditHeaders{req.Header: rule}, nil
}

func (s *System) writeHeader(ctx context.Context, _ *engine.Caller, req headerRequest) (engine.None, error) {
	return engine.None{}, s.updateHeaders(ctx, func(h auditHeaders) { h[strings.ToLower(req.Header)] = auditHeader{req.HMAC} })
}

func (s *System) deleteHeader(ctx context.Context, _ *engine.Caller, req headerName) (engine.None, error) {
	return engine.None{}, s.updateHeaders(ctx, func(h auditHeaders) { delete(h, strings.ToLower(req.Header)) })
}

// updateHeaders holds s.mu so that the broker gets changes in their order.
func (s *System) updateHeaders(ctx context.Context, edit func(auditHeaders)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all auditHeaders
	_, err := s.Store.Update(ctx, func(tx *storage.Tx) (err error) {
		if all, err = stored[auditHeaders](tx, rowHeaders); err != nil {
			return err
		}
		edit(all)
		storage.In[auditHeaders](tx.In(storage.Audits), "").Put(rowHeaders, &all)
		return nil
	})
	if err != nil {
		return fmt.Errorf("store audited headers: %w", err)
	}
	s.Audit.SetHeaders(all.rules())
	return nil
}

func auditRoutes() engine.Routes[System] {
	const headers = "config/auditing/request-headers"
	return engine.Routes[System]{
		engine.Read("audit", (*System).listAudit).Sudo().TopLevel().RootNamespace().Doc("List the audit devices."),
		engine.Outside("audit/{path...}", engine.OpWrite, (*System).enableAudit).Sudo().RootNamespace().Doc("Enable an audit device."),
		engine.Outside("audit/{path...}", engine.OpDelete, (*System).disableAudit).Sudo().RootNamespace().Doc("Disable an audit device."),
		engine.Compute("audit-hash/{path...}", (*System).auditHash).TopLevel().RootNamespace().Doc("Hash a text as a device does."),
		engine.Read(headers, (*System).listHeaders).Sudo().TopLevel().RootNamespace().Doc("List the headers that are audited."),
		engine.Read(headers+"/{header}", (*System).readHeader).Sudo().TopLevel().RootNamespace().Doc("Show whether a header is audited."),
		engine.Outside(headers+"/{header}", engine.OpWrite, (*System).writeHeader).Sudo().RootNamespace().Doc("Audit a header."),
		engine.Outside(headers+"/{header}", engine.OpDelete, (*System).deleteHeader).Sudo().RootNamespace().Doc("No longer audit a header."),
	}
}
