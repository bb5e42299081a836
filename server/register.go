package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/server/registration"
)

// How often it is looked how the node stands, and after how many looks that is
// said again: within the time of Consul's check.
const (
	registerEvery = time.Second
	registerAgain = 2
)

// register tells the directory of the configuration how the node stands, until
// the function is called that it returns.
func (n *node) register(ctx context.Context) (end func(), err error) {
	d, err := n.directory()
	if err != nil || d == nil {
		return func() {}, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	ticks, done := time.NewTicker(registerEvery), make(chan struct{})
	r := &registration.Reporter{Directory: d, State: n.standing, Tick: ticks.C, Logger: n.logger}
	if n.conf.Registration.Type == "consul" {
		r.Again = registerAgain
	}
	go func() {
		defer close(done)
		defer ticks.Stop()
		r.Run(run)
	}()
	return func() { stop(); <-done }, nil
}

func (n *node) standing(ctx context.Context) (registration.State, error) {
	is, err := n.server.sys.Status(ctx)
	if err != nil {
		return registration.State{}, err
	}
	s := registration.State{Initialized: is.Initialized, Sealed: is.Sealed, Active: !is.Sealed, Version: is.Version}
	if c := n.server.sys.Cluster; c != nil && !is.Sealed {
		s.Active = c.Standing().Active
		s.PerfStandby = !s.Active
	}
	return s, nil
}

// directory is nil where none is configured.
func (n *node) directory() (registration.Directory, error) {
	c := n.conf.Registration
	switch c.Type {
	case "kubernetes":
		return registration.InCluster(n.command.Getenv, c.Namespace, c.PodName)
	case "consul":
		return consul(c, first(n.conf.APIAddr, n.conf.ListenerURL()))
	}
	return nil, nil
}

func consul(c config.Registration, api string) (*registration.Consul, error) {
	address := first(c.Address, "127.0.0.1:8500")
	if !strings.Contains(address, "://") {
		address = first(c.Scheme, "http") + "://" + address
	}
	client, err := clientOf(c)
	if err != nil {
		return nil, fmt.Errorf("service_registration \"consul\": %w", err)
	}
	u, err := url.Parse(api)
	if err != nil {
		return nil, fmt.Errorf("service_registration \"consul\": api_addr: %w", err)
	}
	port, err := strconv.Atoi(first(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]))
	if err != nil {
		return nil, fmt.Errorf("service_registration \"consul\" needs an api_addr with a port")
	}
	service, wait := first(c.Service, "vault"), c.CheckTimeout
	if wait == 0 {
		wait = 5 * time.Second
	}
	d := &registration.Consul{Client: client, URL: strings.TrimSuffix(address, "/"), Token: c.Token, Service: service, Tags: c.ServiceTags,
		ID: service + ":" + net.JoinHostPort(u.Hostname(), strconv.Itoa(port)), Host: u.Hostname(), Port: port, TTL: wait.String()}
	if c.ServiceAddress != nil {
		d.Host = *c.ServiceAddress
	}
	return d, nil
}

func clientOf(c config.Registration) (*http.Client, error) {
	t := &tls.Config{InsecureSkipVerify: c.TLSSkipVerify}
	if c.TLSCAFile != "" {
		pem, err := os.ReadFile(c.TLSCAFile)
		if err != nil {
			return nil, fmt.Errorf("tls_ca_file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca_file %s holds no certificate", c.TLSCAFile)
		}
	}
	if c.TLSCertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.TLSCertFile, c.TLSKeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls_cert_file: %w", err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: t}}, nil
}
