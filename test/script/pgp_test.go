package script

import (
	"bytes"
	"encoding/base64"
	"io"
	"os"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/rogpeppe/go-internal/testscript"
)

func newPGPKey(ts *testscript.TestScript, _ bool, args []string) {
	e, err := openpgp.NewEntity(args[0], "", args[0]+"@example.com", nil)
	ts.Check(err)
	var public, private bytes.Buffer
	ts.Check(e.Serialize(&public))
	ts.Check(e.SerializePrivate(&private, nil))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pub"), public.Bytes(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".key"), private.Bytes(), 0o600))
}

func pgpRead(ts *testscript.TestScript, _ bool, args []string) {
	keys, err := openpgp.ReadKeyRing(bytes.NewReader([]byte(ts.ReadFile(args[0] + ".key"))))
	ts.Check(err)
	sealed, err := base64.StdEncoding.DecodeString(args[1])
	ts.Check(err)
	m, err := openpgp.ReadMessage(bytes.NewReader(sealed), keys, nil, nil)
	ts.Check(err)
	text, err := io.ReadAll(m.UnverifiedBody)
	ts.Check(err)
	_, err = ts.Stdout().Write(append(text, '\n'))
	ts.Check(err)
}
