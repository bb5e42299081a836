package registration

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// serviceAccount is where a pod finds who it is to the API.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/"

// A Kubernetes sets labels of the node's own pod, by which services select pods:
// vault-active, vault-sealed, vault-initialized, vault-perf-standby and
// vault-version.
type Kubernetes struct {
	Client    *http.Client
	URL       string // of the API
	TokenFile string // read anew each time: it is renewed
	Namespace string
	Pod       string
}

// InCluster makes one of what a pod is given.
func InCluster(getenv func(string) string, namespace, pod string) (*Kubernetes, error) {
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	switch {
	case host == "" || port == "":
		return nil, errors.New("service_registration \"kubernetes\" needs KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT: is this a pod?")
	case namespace == "":
		return nil, errors.New("service_registration \"kubernetes\" needs a namespace: set VAULT_K8S_NAMESPACE")
	case pod == "":
		return nil, errors.New("service_registration \"kubernetes\" needs a pod_name: set VAULT_K8S_POD_NAME")
	}
	pem, err := os.ReadFile(serviceAccount + "ca.crt")
	if err != nil {
		return nil, fmt.Errorf("read the certificates of Kubernetes: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%sca.crt holds no certificate", serviceAccount)
	}
	return &Kubernetes{Client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}},
		URL: "https://" + net.JoinHostPort(host, port), TokenFile: serviceAccount + "token", Namespace: namespace, Pod: pod}, nil
}

// Tell sets the labels in one request.
func (k *Kubernetes) Tell(ctx context.Context, s State) error {
	labels := map[string]string{"vault-version": s.Version}
	for name, on := range map[string]bool{"vault-active": s.Active, "vault-sealed": s.Sealed, "vault-initialized": s.Initialized, "vault-perf-standby": s.PerfStandby} {
		labels[name] = strconv.FormatBool(on)
	}
	return k.patch(ctx, labels)
}

// Leave says that the pod serves nothing any more. Who selects by the labels
// finds it still.
func (k *Kubernetes) Leave(ctx context.Context) error {
	return k.patch(ctx, map[string]string{"vault-active": "false", "vault-perf-standby": "false", "vault-sealed": "true"})
}

func (k *Kubernetes) patch(ctx context.Context, labels map[string]string) error {
	var patch struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	patch.Metadata.Labels = labels
	body, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("encode labels: %w", err)
	}
	token, err := os.ReadFile(k.TokenFile)
	if err != nil {
		return fmt.Errorf("read the token for Kubernetes: %w", err)
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPatch,
		k.URL+"/api/v1/namespaces/"+url.PathEscape(k.Namespace)+"/pods/"+url.PathEscape(k.Pod), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("label the pod: %w", err)
	}
	q.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	q.Header.Set("Content-Type", "application/merge-patch+json")
	return send(k.Client, q, "label the pod")
}

// send tells by the status whether q was heeded. The answer's text is not told:
// it may repeat what was sent.
func send(client *http.Client, q *http.Request, what string) error {
	r, err := client.Do(q)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer func() { _ = r.Body.Close() }()
	_, _ = io.CopyN(io.Discard, r.Body, 64<<10) // so that the connection is used again
	switch {
	case r.StatusCode == http.StatusForbidden || r.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%s: answered %s: does the token allow it?", what, r.Status)
	case r.StatusCode/100 != 2:
		return fmt.Errorf("%s: answered %s", what, r.Status)
	}
	return nil
}
