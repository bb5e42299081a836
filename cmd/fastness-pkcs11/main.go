// Command fastness-pkcs11 holds the library of a hardware security module for
// the seal "pkcs11": the server starts it and speaks to it over pipes. It is of
// no use by hand.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fastness-dev/fastness/storage/seal/pkcs11"
)

// A module is an open token.
type module interface {
	encrypt(key []byte) (data []byte, keyID string, err error)
	decrypt(data []byte, keyID string) ([]byte, error)
}

func main() {
	if err := serve(os.Stdin, os.Stdout, openModule); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", pkcs11.Program, err)
		os.Exit(1)
	}
}

// serve answers requests until in ends.
func serve(in io.Reader, out io.Writer, open func(pkcs11.Token) (module, error)) error {
	lines, answers := bufio.NewReader(in), json.NewEncoder(out)
	var m module
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var q pkcs11.Request
		if json.Unmarshal(line, &q) != nil {
			return errors.New("a line is no request: this program is started by the server")
		}
		clear(line)
		if err := answers.Encode(answer(&m, q, open)); err != nil {
			return err
		}
	}
}

func answer(m *module, q pkcs11.Request, open func(pkcs11.Token) (module, error)) (a pkcs11.Answer) {
	var err error
	switch {
	case q.Op == "open" && q.Token != nil:
		*m, err = open(*q.Token)
	case *m == nil:
		err = errors.New("no token is open")
	case q.Op == "encrypt":
		a.Data, a.KeyID, err = (*m).encrypt(q.Data)
	case q.Op == "decrypt":
		a.Data, err = (*m).decrypt(q.Data, q.KeyID)
	default:
		err = fmt.Errorf("unknown operation %q", q.Op)
	}
	if err != nil {
		return pkcs11.Answer{Error: err.Error()}
	}
	a.Done = q.Op
	return a
}
